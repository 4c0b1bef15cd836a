"""`tenuto replay RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tenuto.app.nouns import counted
from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json, say
from tenuto.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.upgrading import Upgrade
    from tenuto.core.models import Grade
    from tenuto.runtime.replay import Divergence, ReplayReport

__all__ = ["command"]


@click.command(
    "replay",
    short_help="Recompute a run from its record.",
    epilog=examples(
        "tenuto replay @last", "tenuto replay @last --against .", "tenuto replay --all tests/runs --against ."
    ),
)
@click.argument("run", required=False, shell_complete=complete_runs)
@click.option(
    "--against",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Under the plan, agents and tools that are in DIR now.",
)
@click.option(
    "--all",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Every exported run (*.tenuto) in DIR, in place of RUN.",
)
@shared_options()
def command(run: str | None, against: str | None, folder: str | None, store: str | None, as_json: bool) -> int:
    """Recompute RUN from its record and compare every byte. Nothing is executed, nothing is asked of a model.

    Exit 5 at the first difference.
    """
    if (run is None) == (folder is None):
        raise UsageError("replay takes a RUN, or --all DIR", fix="give one of the two")
    today = None if against is None else Path(against)
    if run is None:
        return _replay_all(Path(folder or ""), today, as_json=as_json)

    async def work(opened: Store) -> tuple[ReplayReport, Grade]:
        from tenuto.app.proofs import grade_of_run, replay_run

        settings = settings_for(store=store)
        report = await replay_run(settings, opened, run, against=today)
        return report, await grade_of_run(opened, report.run)

    report, grade = with_store(store, work)
    if as_json:
        print_json({**_object(report), "grade": grade})
    else:
        _show(report, against, grade)
    return int(ExitCode.OK if report.identical else ExitCode.DIVERGED)


def _replay_all(folder: Path, against: Path | None, *, as_json: bool) -> int:
    import asyncio

    from tenuto.app.upgrading import replay_all

    found = asyncio.run(replay_all(settings_for(), folder, against=against))
    code = max((one.exit for one in found), default=0)
    if as_json:
        runs = [_upgrade(one) for one in found]
        print_json({"identical": sum(one.identical for one in found), "of": len(found), "exit": code, "runs": runs})
        return code
    from tenuto.cli.amounts import shown_spending

    for one in found:
        if one.identical:
            say(f"identical  {one.file}  {counted(one.events, 'record')}")
        elif one.divergence is None:
            say(f"unread     {one.file}  {one.error}")
        else:
            place = one.divergence.call or one.divergence.step or f"record {one.divergence.seq}"
            where = f"{one.divergence.where}: " if one.divergence.where else ""
            say(f"differs    {one.file}  at {place}: {where}{one.divergence.what}")
            cost = shown_spending(msgspec.to_builtins(one.cost)) or "nothing"
            say(f"           to run again: {', '.join(one.affected)}; at most {cost}")
    say(f"identical: {sum(one.identical for one in found)} of {counted(len(found), 'run')}")
    return code


def _upgrade(one: Upgrade) -> dict[str, Any]:
    divergence, cost = _divergence(one.divergence), msgspec.to_builtins(one.cost)
    return {**msgspec.structs.asdict(one), "cost": cost, "divergence": divergence}


def _divergence(divergence: Divergence | None) -> dict[str, Any] | None:
    return None if divergence is None else divergence._asdict()


def _object(report: ReplayReport) -> dict[str, Any]:
    return {
        "run": report.run,
        "identical": report.identical,
        "unchecked": list(report.unchecked),
        "events": report.events,
        "journal_digest": report.journal_digest,
        "divergence": _divergence(report.divergence),
        "unchecked_because": list(report.unchecked_because),
    }


def _show(report: ReplayReport, against: str | None, grade: Grade) -> None:
    if report.divergence is not None:
        from tenuto.app.divergences import difference_lines
        from tenuto.cli.screen import plain, screen_of

        screen = screen_of(settings_for().variables)
        screen.show(plain(line, _style(line)) for line in difference_lines(report.divergence))
        return
    same = "identical" if against is None else f"what {against} holds now would do the same"
    live = "" if grade == "exact" else f"; its models are {grade}"
    say(f"{same}: {report.run}, {counted(report.events, 'record')}, journal {report.journal_digest}{live}")
    for line in report.unchecked_because:
        say(f"not checked: {line}")


def _style(line: str) -> str:
    """How a line of a difference is shown."""
    if line.startswith(("  ---", "  +++")):
        return "dim"
    return {"  +": "good", "  -": "bad", "  @": "busy"}.get(line[:3], "")
