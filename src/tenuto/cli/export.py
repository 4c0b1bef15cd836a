"""`tenuto export RUN [FILE]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tenuto.app.nouns import counted
from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, shared_options, with_store
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.bundles import Bundled

__all__ = ["command"]


@click.command(
    "export",
    short_help="Write a run with all it needs to one file.",
    epilog=examples("tenuto export @last", "tenuto export @last tests/runs/fix.tenuto --force"),
)
@click.argument("run", shell_complete=complete_runs)
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE where it is there.")
@shared_options()
def command(run: str, file: str | None, force: bool, store: str | None, as_json: bool) -> None:
    """Write RUN with all it needs to FILE (without it: RUN.tenuto, here). Equal runs give equal bytes everywhere.

    The head that is printed decides every byte of the file: keep it elsewhere, and `tenuto verify RUN --head HEAD`
    shows a store that was changed or rolled back.
    """

    async def work(opened: Store) -> tuple[Path, Bundled]:
        from tenuto.app.bundles import export_run
        from tenuto.app.finding import resolve_run

        found = await resolve_run(opened.journal, run)
        path = Path(f"{found}.tenuto" if file is None else file)
        return path, await export_run(opened.journal, opened.contents, found, path, replace=force)

    path, done = with_store(store, work)
    if as_json:
        print_json({"run": done.run, "file": str(path), **_sizes(done)})
        return
    sizes = f"{counted(done.records, 'record')}, {counted(done.blobs, 'body')}, {counted(done.bytes, 'byte')}"
    say(f"exported: {done.run} ({done.status}) to {path}, {sizes}, head {done.head}")


def _sizes(done: Bundled) -> dict[str, object]:
    return {
        "status": done.status,
        "head": done.head,
        "records": done.records,
        "bodies": done.blobs,
        "bytes": done.bytes,
    }
