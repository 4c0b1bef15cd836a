"""`tenuto show RUN [STEP|CALL]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_parts, complete_runs
from tenuto.cli.loading import load_shown
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.looking import LookedAtCall, LookedAtStep, SeenRun

__all__ = ["command"]


@click.command(
    "show",
    short_help="Show how a run stands.",
    epilog=examples(
        "tenuto show", "tenuto show @last review", "tenuto show @last 'review[0]/1/0'", "tenuto show @last | less"
    ),
)
@click.argument("run", default="@last", shell_complete=complete_runs)
@click.argument("part", required=False, metavar="[STEP|CALL]", shell_complete=complete_parts)
@shared_options()
def command(run: str, part: str | None, store: str | None, as_json: bool) -> None:
    """Show RUN (default: the newest): its steps and outputs, its budget, what it waits for, how to go on.

    With a STEP (its path) or a CALL (its position): prompts, replies, tool calls and the files that changed.
    """
    if part is not None:
        _show_part(run, part, store, as_json=as_json)
    elif as_json:
        print_json(load_shown(store, run).report())
    else:
        _show_run(run, store)


def _show_run(run: str, store: str | None) -> None:
    async def work(opened: Store) -> SeenRun:
        from tenuto.app.looking import see_run

        return await see_run(opened, run)

    seen = with_store(store, work)
    from tenuto.cli.driving import store_flag
    from tenuto.cli.picture import picture
    from tenuto.cli.screen import screen_of

    settings = settings_for(store=store)
    screen = screen_of(settings.variables)
    screen.show(picture(seen, store_flag(settings), screen.width))


def _show_part(run: str, part: str, store: str | None, *, as_json: bool) -> None:
    async def work(opened: Store) -> LookedAtStep | LookedAtCall:
        from tenuto.app.looking import look

        return await look(opened, run, part)

    looked = with_store(store, work)
    if as_json:
        print_json(looked.object())
        return
    from tenuto.app.looking import LookedAtStep
    from tenuto.cli.closeup import call_lines, step_closeup
    from tenuto.cli.driving import store_flag
    from tenuto.cli.screen import screen_of

    settings = settings_for(store=store)
    screen = screen_of(settings.variables)
    if isinstance(looked, LookedAtStep):
        screen.show(step_closeup(looked, store_flag(settings), screen.width))
    else:
        screen.show(call_lines(looked, screen.width))
