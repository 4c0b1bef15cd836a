"""`tenuto verify RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tenuto.app.nouns import counted
from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, shared_options, with_store
from tenuto.cli.output import print_json, say

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.runtime.replay import VerifyReport

__all__ = ["command"]


@click.command(
    "verify",
    short_help="Check every byte of a run's record.",
    epilog=examples("tenuto verify @last", "tenuto verify @last --json"),
)
@click.argument("run", shell_complete=complete_runs)
@click.option("--head", metavar="DIGEST", help="A journal digest kept elsewhere: it must be in the chain.")
@shared_options()
def command(run: str, head: str | None, store: str | None, as_json: bool) -> None:
    """Check the chain of RUN's records and every body they name. Exit 7 at the first damage."""

    async def work(opened: Store) -> VerifyReport:
        from tenuto.app.proofs import verify_run

        return await verify_run(opened, run, head=head)

    report = with_store(store, work)
    if as_json:
        print_json(report._asdict())
        return
    sizes = f"{counted(report.records, 'record')}, {counted(report.bodies, 'body')}"
    say(f"whole: {report.run}, {sizes}, journal {report.journal_digest}")
