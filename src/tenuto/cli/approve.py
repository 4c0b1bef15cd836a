"""`tenuto approve RUN [CALL]`."""

from __future__ import annotations

import click

from tenuto.cli.answering import answer
from tenuto.cli.completing import complete_calls, complete_runs
from tenuto.cli.options import examples, shared_options

__all__ = ["command"]


@click.command(
    "approve",
    short_help="Let a call pass that waits for a person.",
    epilog=examples("tenuto approve @last", "tenuto approve @last ship/1/0 --note 'looks right'"),
)
@click.argument("run", shell_complete=complete_runs)
@click.argument("call", required=False, shell_complete=complete_calls)
@click.option("--note", default="", metavar="TEXT", help="Written into the record; whoever asked is told.")
@click.option("--edit", "edited", metavar="FILE", help="Arguments or values in place of those shown (JSON).")
@shared_options()
def command(run: str, call: str | None, note: str, edited: str | None, store: str | None, as_json: bool) -> None:
    """Approve CALL of RUN, or the only call that waits. --edit FILE replaces what the person was shown, as JSON."""
    answer(run, call, approved=True, note=note, edited=edited, store=store, as_json=as_json)
