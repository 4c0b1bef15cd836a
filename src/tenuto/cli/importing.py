"""`tenuto import FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tenuto.app.nouns import counted
from tenuto.cli.options import examples, settings_for, shared_options
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.bundles import Bundled

__all__ = ["command"]


@click.command(
    "import",
    short_help="Take a run from a file, as a record that is only read.",
    epilog=examples("tenuto import fix.tenuto", "tenuto import ci/fix.tenuto --store /tmp/ci"),
)
@click.argument("file", type=click.Path())
@shared_options()
def command(file: str, store: str | None, as_json: bool) -> None:
    """Check every byte of FILE and take its run into the store. Nothing of it is executed.

    The run can be shown, verified, replayed and checked out. It cannot be resumed, cancelled or answered: it may go
    on where it came from.
    """
    done = _imported(Path(file), store)
    if as_json:
        print_json(
            {
                "run": done.run,
                "status": done.status,
                "head": done.head,
                "records": done.records,
                "bodies": done.blobs,
                "new": done.new,
            }
        )
        return
    sizes = f"{counted(done.records, 'record')}, {counted(done.blobs, 'body')}"
    told = "imported" if done.new else "here already"
    say(f"{told}: {done.run} ({done.status}), {sizes}, head {done.head}")


def _imported(path: Path, given: str | None) -> Bundled:
    import asyncio

    from tenuto.app.bundles import import_file

    return asyncio.run(import_file(settings_for(store=given), path))
