"""`tenuto cancel RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.runs import ShownRun

__all__ = ["command"]


@click.command(
    "cancel",
    short_help="Cancel a run.",
    epilog=examples("tenuto cancel @last --reason 'not needed'"),
)
@click.argument("run", shell_complete=complete_runs)
@click.option("--reason", default="", metavar="TEXT", help="Written into the record.")
@shared_options()
def command(run: str, reason: str, store: str | None, as_json: bool) -> None:
    """Cancel RUN, whoever drives it, and wait for its end. What it did so far stays in its record."""
    who = settings_for(store=store).user

    async def work(opened: Store) -> ShownRun:
        from tenuto.app.decisions import cancel_run

        return await cancel_run(opened, run, reason=reason, who=who)

    shown = with_store(store, work)
    if as_json:
        print_json(shown.report())
        return
    say(
        f"run {shown.state.run} was cancelled"
        if shown.status == "cancelled"
        else f"{shown.status}: {shown.state.run}"
    )
