"""`tenuto ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_words
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.runs import RunLine

__all__ = ["command"]


def _statuses() -> tuple[str, ...]:
    from tenuto.app.runs import STATUSES

    return STATUSES


def _known_statuses(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The statuses are known when they are asked for, so that help imports nothing."""
    if given:
        from tenuto.core.problems import did_you_mean, shorten

        for status in given:
            if status not in _statuses():
                what = f"a run is never {shorten(status)}; {did_you_mean(status, _statuses())}"
                raise click.BadParameter(what, ctx, param)
    return given


@click.command(
    "ls",
    short_help="List the runs.",
    epilog=examples("tenuto ls --status failed --status stopped", "tenuto ls --plan 'fix-*' --limit 10"),
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    callback=_known_statuses,
    metavar="STATUS",
    help="Only these; repeatable.",
    shell_complete=complete_words(_statuses),
)
@click.option("--plan", metavar="GLOB", help="Only runs of plans of that name.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the newest N.")
@shared_options()
def command(statuses: tuple[str, ...], plan: str | None, limit: int | None, store: str | None, as_json: bool) -> None:
    """List the runs of the store, the oldest first.

    A run is running, waiting (for a decision), exhausted, stopped, ok, failed, cancelled or damaged.
    """

    async def work(opened: Store) -> list[RunLine]:
        from tenuto.app.runs import list_runs

        return await list_runs(opened, statuses=statuses, plan=plan, limit=limit)

    runs = with_store(store, work)
    if as_json:
        import msgspec

        print_json({"runs": [msgspec.to_builtins(run) for run in runs]})
        return
    if not runs:
        filtered = statuses or plan is not None
        say("no run is like that; all of them: tenuto ls" if filtered else "no runs yet; start one: tenuto run PLAN")
        return
    from tenuto.cli.screen import screen_of
    from tenuto.cli.table import styled_table

    screen = screen_of(settings_for(store=store).variables)
    rows = [(r.run, r.status, _plan(r), _when(r.started_us), f"{r.records}", r.repository) for r in runs]
    heads = ("run", "status", "plan", "started (UTC)", "records", "repository")
    screen.show(styled_table(heads, rows, width=screen.width, styles={1: STYLES}, keep=(1, 3, 4)))


STYLES = {"ok": "good", "failed": "bad", "damaged": "bad", "running": "busy", "waiting": "odd", "exhausted": "odd"}
"""How statuses are shown."""


def _plan(run: RunLine) -> str:
    """What the run is of: its plan, and of a fork its parent."""
    return (run.plan or run.damage) + (f", fork of {run.parent}" if run.parent else "")


def _when(at_us: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S") if at_us else "?"
