"""`tenuto budget RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tenuto.cli.options import shared_options, with_store
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.runs import ShownRun

__all__ = ["command"]


@click.command("budget", short_help="Show what a run may spend, holds and has spent.")
@click.argument("run", default="@last")
@shared_options()
def command(run: str, store: str | None, as_json: bool) -> None:
    """Show the limits of RUN (default: the newest), what is reserved and spent, and the holds that are in doubt."""

    async def work(opened: Store) -> ShownRun:
        from tenuto.app.runs import show_run

        return await show_run(opened, run)

    shown = with_store(store, work)
    if as_json:
        from tenuto.core.report import budget_report

        print_json({"run": shown.state.run, **budget_report(shown.state)})
        return
    from tenuto.cli.picture import budget_lines

    say(f"{shown.state.run}   {shown.status}")
    for line in budget_lines(shown.state):
        say(line)
