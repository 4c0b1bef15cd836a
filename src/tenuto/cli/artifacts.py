"""`tenuto artifacts RUN [DIGEST]`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.results import ListedArtifact
    from tenuto.core.ids import RunId

__all__ = ["command"]


@click.command(
    "artifacts",
    short_help="List what a run's models and tools returned.",
    epilog=examples("tenuto artifacts @last", "tenuto artifacts @last 3c5e0290 > reply.json"),
)
@click.argument("run", shell_complete=complete_runs)
@click.argument("digest", required=False)
@shared_options()
def command(run: str, digest: str | None, store: str | None, as_json: bool) -> None:
    """List every model reply and tool result of RUN, or print the one of that DIGEST (its beginning will do)."""
    if digest is not None:
        _print_one(run, digest, store, as_json=as_json)
        return

    async def work(opened: Store) -> tuple[RunId, list[ListedArtifact]]:
        from tenuto.app.results import artifacts_of

        return await artifacts_of(opened, run)

    found, listed = with_store(store, work)
    if as_json:
        print_json({"run": found, "artifacts": listed})
        return
    from tenuto.cli.screen import screen_of
    from tenuto.cli.table import styled_table

    screen = screen_of(settings_for(store=store).variables)
    rows = [
        (a.digest[:16], a.kind, f"{a.size:,}", a.call, a.tool or a.model or "", a.agent or "", _status(a))
        for a in listed
    ]
    heads = ("digest", "kind", "bytes", "call", "by", "agent", "status")
    screen.show(styled_table(heads, rows, width=screen.width, styles={6: {"error": "bad"}}, right=(2,)))


def _status(one: ListedArtifact) -> str:
    return "" if one.result is None else one.result.status


def _print_one(run: str, digest: str, store: str | None, *, as_json: bool) -> None:
    async def work(opened: Store) -> tuple[str, bytes]:
        from tenuto.app.results import read_artifact

        return await read_artifact(opened, run, digest)

    name, body = with_store(store, work)
    if as_json:
        import msgspec

        print_json({"digest": name, "size": len(body), "body": msgspec.Raw(body)})
        return
    sys.stdout.buffer.write(body + b"\n")
