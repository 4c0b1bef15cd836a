"""`tenuto checkout RUN [STEP] DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tenuto.app.nouns import counted
from tenuto.cli.completing import complete_runs, complete_steps
from tenuto.cli.options import examples, shared_options, with_store
from tenuto.cli.output import print_json, say
from tenuto.errors import UsageError

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.checkout import CheckedOut

__all__ = ["command"]


@click.command(
    "checkout",
    short_help="Write the files of any step into a new directory.",
    epilog=examples("tenuto checkout @last /tmp/files", "tenuto checkout @last 'write[a]' /tmp/files"),
)
@click.argument("run", shell_complete=complete_runs)
@click.argument("places", metavar="[STEP] DIR", nargs=-1, required=True, shell_complete=complete_steps)
@shared_options()
def command(run: str, places: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Write the files that STEP of RUN ended with (without STEP: the run) into DIR, which is empty or missing.

    Steps are named as `tenuto show` names them: write, patch[a], do/inner. One that failed has the files that it
    started from.
    """
    if len(places) > 2:
        raise UsageError("checkout takes a run, a step and a directory", fix="see `tenuto checkout --help`")
    step = places[0] if len(places) == 2 else None
    directory = places[-1]
    if not directory:
        raise UsageError("checkout needs a directory", fix="name one that is empty or not there yet")

    async def work(opened: Store) -> CheckedOut:
        from tenuto.app.checkout import check_out_run

        return await check_out_run(opened, run, step, Path(directory))

    done = with_store(store, work)
    if as_json:
        print_json(
            {
                "run": done.run,
                "step": done.step,
                "status": done.status,
                "directory": str(done.directory),
                "tree_digest": done.tree,
                "files": done.files,
            }
        )
        return
    whose = f"the end of {done.run}" if done.step == "end" else f"{done.step} of {done.run}"
    say(f"checked out: {whose} ({done.status}) to {done.directory}, {counted(done.files, 'file')}")
