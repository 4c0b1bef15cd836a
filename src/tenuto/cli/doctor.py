"""`tenuto doctor`."""

from __future__ import annotations

import asyncio

import click

from tenuto.cli.options import settings_for, shared_options
from tenuto.cli.output import print_json, say
from tenuto.errors import ExitCode

__all__ = ["command"]


@click.command("doctor", short_help="Say what this machine has and lacks.")
@shared_options()
def command(store: str | None, as_json: bool) -> int:
    """Say what this machine has and lacks, and how to get it. Exit 1 where something lacks that is needed."""
    from tenuto.app.doctor import examine

    findings = asyncio.run(examine(settings_for(store=store)))
    well = all(finding.ok for finding in findings if finding.needed)
    if as_json:
        print_json({"ok": well, "findings": findings})
    else:
        for finding in findings:
            sign = "✓" if finding.ok else "✗" if finding.needed else "–"
            say(f"{sign} {finding.name:<14} {finding.what}")
            if not finding.ok and finding.fix:
                say(f"  {'':<14} {finding.fix}")
    return int(ExitCode.OK if well else ExitCode.FAILED)
