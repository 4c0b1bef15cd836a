"""`tenuto events RUN`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_runs
from tenuto.cli.loading import tell_idle
from tenuto.cli.options import examples, shared_options, with_store

if TYPE_CHECKING:
    from tenuto.app.build import Store

__all__ = ["command"]


@click.command(
    "events",
    short_help="Print the records of a run.",
    epilog=examples("tenuto events @last > run.jsonl", "tenuto events -f @last | jq -r .kind"),
)
@click.argument("run", shell_complete=complete_runs)
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run has ended.")
@shared_options()
def command(run: str, follow: bool, store: str | None, as_json: bool) -> None:  # noqa: ARG001 - records are JSON either way
    """Print the records of RUN, one a line, exactly as they are stored (JSON, with or without --json)."""

    async def work(opened: Store) -> None:
        from tenuto.app.finding import resolve_run
        from tenuto.app.following import read_records

        found = await resolve_run(opened.journal, run)
        out = sys.stdout.buffer
        async for read in read_records(opened, found, follow=follow, idle=tell_idle(found, store)):
            out.write(read.stored.body + b"\n")
            if follow:
                out.flush()

    with_store(store, work)
