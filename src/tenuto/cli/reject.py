"""`tenuto reject RUN [CALL]`."""

from __future__ import annotations

import click

from tenuto.cli.answering import answer
from tenuto.cli.completing import complete_calls, complete_runs
from tenuto.cli.options import examples, shared_options

__all__ = ["command"]


@click.command(
    "reject",
    short_help="Refuse a call that waits for a person.",
    epilog=examples("tenuto reject @last --note 'not this way'"),
)
@click.argument("run", shell_complete=complete_runs)
@click.argument("call", required=False, shell_complete=complete_calls)
@click.option("--note", default="", metavar="TEXT", help="Written into the record; whoever asked is told.")
@shared_options()
def command(run: str, call: str | None, note: str, store: str | None, as_json: bool) -> None:
    """Reject CALL of RUN, or the only call that waits: it is not made."""
    answer(run, call, approved=False, note=note, edited=None, store=store, as_json=as_json)
