"""`tenuto budget RUN`."""

from __future__ import annotations

import click

from tenuto.cli.completing import complete_runs
from tenuto.cli.loading import load_shown
from tenuto.cli.options import examples, shared_options
from tenuto.cli.output import print_json, say

__all__ = ["command"]


@click.command(
    "budget",
    short_help="Show what a run may spend, holds and has spent.",
    epilog=examples("tenuto budget @last"),
)
@click.argument("run", default="@last", shell_complete=complete_runs)
@shared_options()
def command(run: str, store: str | None, as_json: bool) -> None:
    """Show the limits of RUN (default: the newest), what is reserved and spent, and the holds that are in doubt."""

    shown = load_shown(store, run)
    if as_json:
        from tenuto.core.report import budget_report

        print_json({"run": shown.state.run, **budget_report(shown.state)})
        return
    from tenuto.cli.bars import budget_lines

    say(f"{shown.state.run}   {shown.status}")
    for line in budget_lines(shown.state):
        say(line)
