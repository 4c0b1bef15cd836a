"""`tenuto resolve RUN CALL`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_calls, complete_runs
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json, say
from tenuto.errors import UsageError

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.core.ids import Position, RunId

__all__ = ["command"]


@click.command(
    "resolve",
    short_help="Say what became of a call in doubt.",
    epilog=examples("tenuto resolve @last push/1/0 --done", "tenuto resolve @last push/1/0 --not-done"),
)
@click.argument("run", shell_complete=complete_runs)
@click.argument("call", shell_complete=complete_calls)
@click.option("--done", is_flag=True, help="The call took effect.")
@click.option("--not-done", is_flag=True, help="The call did not take effect: it is made again.")
@click.option("--result", "result_file", metavar="FILE", help="With --done: what it returned (JSON).")
@shared_options()
def command(
    run: str, call: str, done: bool, not_done: bool, result_file: str | None, store: str | None, as_json: bool
) -> None:
    """Say what became of CALL of RUN, whose outcome was lost: --done, or --not-done and it is made again."""
    if done and not_done:
        raise UsageError("--done and --not-done contradict each other", where=f"call {call}", fix="give one")
    if not done and not not_done:
        raise UsageError("say whether the call took effect", where=f"call {call}", fix="give --done or --not-done")
    if result_file is not None and not done:
        raise UsageError("a call that was not made has no result", where="--result", fix="leave it out")
    settings = settings_for(store=store)

    async def work(opened: Store) -> tuple[RunId, Position]:
        from tenuto.app.decisions import read_json, resolve_call

        result = None if result_file is None else read_json("--result", Path(result_file))
        return await resolve_call(opened, run, call, done=done, result=result, who=settings.user)

    found, position = with_store(store, work)
    if as_json:
        print_json({"run": found, "call": position, "done": done})
        return
    from tenuto.cli.driving import store_flag

    say(f"resolved: {position} of {found} was {'made' if done else 'not made'}")
    if done and result_file is None:
        say("  its output will be null; give --result FILE to say what it gave")
    say(f"  tenuto resume {found}{store_flag(settings)}")
