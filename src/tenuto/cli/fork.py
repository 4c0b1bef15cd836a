"""`tenuto fork RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tenuto.cli.completing import complete_runs, complete_steps
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.resume import NAMES

if TYPE_CHECKING:
    from tenuto.app.foreseeing import Foreseen
    from tenuto.app.fork_driving import ForkOptions

__all__ = ["command"]

AMOUNTS = NAMES.removesuffix(", time")
"""A fork has the whole time of its plan."""


@click.command(
    "fork",
    short_help="Run again what a change affects, and reuse the rest.",
    epilog=examples(
        "tenuto fork @last --from review",
        "tenuto fork @last --edit prompts/review.md --dry-run",
        "tenuto fork @last --set steps.review.model=openai:gpt-5-mini --set inputs.issue=13",
    ),
)
@click.argument("run", shell_complete=complete_runs)
@click.option(
    "--from",
    "run_again",
    multiple=True,
    metavar="STEP",
    help="Execute this step although nothing has changed; repeatable.",
    shell_complete=complete_steps,
)
@click.option(
    "--set", "parts", multiple=True, metavar="PATH=VALUE", help="Another value: steps.fix.prompt, inputs.who."
)
@click.option(
    "--edit",
    "edits",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Take this file (or folder) as it is today.",
)
@click.option("--add-budget", multiple=True, metavar="NAME=AMOUNT", help=f"More than the root has left: {AMOUNTS}.")
@click.option("--dry-run", is_flag=True, help="Only say what would be executed, and what it could cost.")
@click.option("--run", "run_id", metavar="ID", help="The fork's id (default: a short new one).")
@shared_options()
def command(
    run: str,
    run_again: tuple[str, ...],
    parts: tuple[str, ...],
    edits: tuple[str, ...],
    add_budget: tuple[str, ...],
    dry_run: bool,
    run_id: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Make a new run of RUN with some things changed. Only steps whose inputs changed are executed.

    Without options everything is as in RUN, from its record: what had not ended there is executed.
    """
    from tenuto.app.amounts import read_amounts
    from tenuto.app.fork_driving import ForkOptions, fork_run
    from tenuto.app.forking import ForkChanges

    amount, time_ms = read_amounts(add_budget)
    if time_ms:
        from tenuto.errors import UsageError

        raise UsageError("a fork has the whole time of its plan", where="--add-budget time", fix="leave it out")
    options = ForkOptions(
        changes=ForkChanges(settings=parts, edits=edits, run_again=run_again), run=run_id, add_budget=amount
    )
    if dry_run:
        return _dry_run(run, options, store, as_json=as_json)
    from tenuto.cli.driving import drive_command

    settings = settings_for(store=store)

    async def work(opened: Any, drive: Any) -> Any:
        return await fork_run(settings, opened, run, options, drive)

    return drive_command(settings, work, as_json=as_json)


def _dry_run(run: str, options: ForkOptions, store: str | None, *, as_json: bool) -> int:
    from tenuto.app.foreseeing import foresee_fork
    from tenuto.cli.output import print_json, say

    settings = settings_for(store=store)

    async def work(opened: Any) -> Foreseen:
        return await foresee_fork(settings, opened, run, options)

    foreseen = with_store(store, work)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(foreseen))
    else:
        from tenuto.cli.foreseen_lines import foreseen_lines

        for line in foreseen_lines(foreseen):
            say(line)
    return 0
