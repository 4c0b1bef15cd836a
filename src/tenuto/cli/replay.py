"""`tenuto replay RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tenuto.app.nouns import counted
from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json, say
from tenuto.cli.structures import structural_diff
from tenuto.errors import ExitCode

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.runtime.replay import Divergence, ReplayReport

__all__ = ["command"]


@click.command(
    "replay",
    short_help="Recompute a run from its record.",
    epilog=examples("tenuto replay @last", "tenuto replay @last --against ."),
)
@click.argument("run", shell_complete=complete_runs)
@click.option(
    "--against",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Under the plan, agents and tools that are in DIR now.",
)
@shared_options()
def command(run: str, against: str | None, store: str | None, as_json: bool) -> int:
    """Recompute RUN from its record and compare every byte. Nothing is executed, nothing is asked of a model.

    Exit 5 at the first difference.
    """

    async def work(opened: Store) -> ReplayReport:
        from tenuto.app.proofs import replay_run

        settings = settings_for(store=store)
        return await replay_run(settings, opened, run, against=None if against is None else Path(against))

    report = with_store(store, work)
    if as_json:
        print_json(_object(report))
    else:
        _show(report, against)
    return int(ExitCode.OK if report.identical else ExitCode.DIVERGED)


def _object(report: ReplayReport) -> dict[str, Any]:
    divergence = report.divergence
    return {
        "run": report.run,
        "identical": report.identical,
        "unchecked": list(report.unchecked),
        "events": report.events,
        "journal_digest": report.journal_digest,
        "divergence": None if divergence is None else divergence._asdict(),
    }


def _show(report: ReplayReport, against: str | None) -> None:
    if report.divergence is not None:
        from tenuto.cli.screen import plain, screen_of

        screen = screen_of(settings_for().variables)
        screen.show(plain(line, _style(line)) for line in _difference(report.divergence))
        return
    same = "identical" if against is None else f"what {against} holds now would do the same"
    say(f"{same}: {report.run}, {counted(report.events, 'record')}, journal {report.journal_digest}")
    if report.unchecked:
        say(f"not checked, because their code is not here: {', '.join(report.unchecked)}")


def _style(line: str) -> str:
    """How a line of a difference is shown."""
    if line.startswith(("  ---", "  +++")):
        return "dim"
    return {"  +": "good", "  -": "bad", "  @": "busy"}.get(line[:3], "")


def _telling(side: dict[str, Any]) -> dict[str, Any]:
    """Without the digests that only follow from what people can read."""
    return {name: value for name, value in side.items() if len(side) < 3 or name not in ("fingerprint", "parts")}


def _difference(divergence: Divergence) -> list[str]:
    """The first difference: where, what, recorded against current."""
    place = f"{divergence.where}: " if divergence.where else ""
    about = ""
    if divergence.call or divergence.step:
        about = f", call {divergence.call}" if divergence.call else f", step {divergence.step}"
    lines = [f"diverged at record {divergence.seq}{about}", f"  {place}{divergence.what}"]
    sides = [_telling(side) if side else None for side in (divergence.recorded, divergence.current)]
    return lines + [f"  {line}" for line in structural_diff(sides[0], sides[1], "recorded", "current")]
