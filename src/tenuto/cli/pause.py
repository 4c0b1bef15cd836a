"""`tenuto pause RUN`."""

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
    "pause",
    short_help="Let the calls of a run end, and start no more.",
    epilog=examples("tenuto pause @last"),
)
@click.argument("run", shell_complete=complete_runs)
@shared_options()
def command(run: str, store: str | None, as_json: bool) -> None:
    """Pause RUN: calls under way end and are recorded, none starts, and its engine leaves it."""
    settings = settings_for(store=store)

    async def work(opened: Store) -> ShownRun:
        from tenuto.app.decisions import pause_run

        return await pause_run(opened, run, who=settings.user)

    shown = with_store(store, work)
    if as_json:
        print_json(shown.report())
        return
    from tenuto.cli.closing import next_commands
    from tenuto.cli.driving import store_flag

    say(f"{shown.status}: {shown.state.run}")
    for command_line in next_commands(shown.state, store_flag(settings)):
        say(f"  {command_line}")
