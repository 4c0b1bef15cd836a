"""`tenuto ls`."""

from __future__ import annotations

import click

from tenuto.cli.options import shared_options, with_store
from tenuto.cli.output import print_json, say

__all__ = ["command"]


@click.command("ls", short_help="List the runs.")
@shared_options()
def command(store: str | None, as_json: bool) -> None:
    """List the runs of the store, the oldest first."""
    from tenuto.app.runs import list_runs
    from tenuto.cli.table import table

    runs = with_store(store, list_runs)
    if as_json:
        import msgspec

        print_json({"runs": [msgspec.to_builtins(run) for run in runs]})
        return
    if not runs:
        say("no runs yet; start one: tenuto run PLAN")
        return
    rows = [(r.run, r.status, r.plan, _when(r.started_us), f"{r.records}", r.repository) for r in runs]
    for line in table(("run", "status", "plan", "started", "records", "repository"), rows):
        say(line)


def _when(at_us: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at_us else "?"
