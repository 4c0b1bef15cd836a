"""`tenuto show RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tenuto.cli.options import settings_for, shared_options, with_store
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.runs import ShownRun

__all__ = ["command"]


@click.command("show", short_help="Show how a run stands.")
@click.argument("run", default="@last")
@shared_options()
def command(run: str, store: str | None, as_json: bool) -> None:
    """Show RUN (default: the newest): its steps and outputs, its budget, what it waits for, how to go on."""

    async def work(opened: Store) -> ShownRun:
        from tenuto.app.runs import show_run

        return await show_run(opened, run)

    shown = with_store(store, work)
    if as_json:
        print_json(shown.report())
        return
    from tenuto.cli.driving import store_flag
    from tenuto.cli.picture import picture

    for line in picture(shown, store_flag(settings_for(store=store))):
        say(line)
