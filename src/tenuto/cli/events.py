"""`tenuto events RUN`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tenuto.cli.options import shared_options, with_store

if TYPE_CHECKING:
    from tenuto.app.build import Store

__all__ = ["command"]


@click.command("events", short_help="Print the records of a run.")
@click.argument("run")
@click.option("--follow", is_flag=True, help="Go on printing until the run has ended.")
@shared_options()
def command(run: str, follow: bool, store: str | None, as_json: bool) -> None:  # noqa: ARG001 - records are JSON either way
    """Print the records of RUN, one a line, exactly as they are stored (JSON, with or without --json)."""

    async def work(opened: Store) -> None:
        from tenuto.app.runs import read_events

        out = sys.stdout.buffer
        async for row in read_events(opened, run, follow=follow):
            out.write(row.body + b"\n")
            if follow:
                out.flush()

    with_store(store, work)
