"""`tenuto doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tenuto.cli.options import examples, settings_for, shared_options
from tenuto.cli.output import print_json, say
from tenuto.cli.screen import Line, Span, folded, screen_of
from tenuto.errors import ExitCode

if TYPE_CHECKING:
    from tenuto.app.doctor_findings import Finding

__all__ = ["command"]

COLUMN = 17


@click.command(
    "doctor",
    short_help="Say what this machine has and lacks.",
    epilog=examples("tenuto doctor", "tenuto doctor --json"),
)
@shared_options()
def command(store: str | None, as_json: bool) -> int:
    """Say what this machine has and lacks, and how to get it. Exit 1 where something lacks that is needed."""
    import asyncio

    from tenuto.app.doctor import examine

    settings = settings_for(store=store)
    findings = asyncio.run(examine(settings))
    well = all(finding.ok for finding in findings if finding.needed)
    if as_json:
        print_json({"ok": well, "findings": findings})
    else:
        screen = screen_of(settings.variables)
        screen.show(line for finding in findings for line in _lines(finding, screen.width))
        _say_sum(findings, well=well)
    return int(ExitCode.OK if well else ExitCode.FAILED)


def _lines(finding: Finding, width: int | None) -> Iterator[Line]:
    sign, style = ("✓", "good") if finding.ok else ("✗", "bad") if finding.needed else ("–", "odd")
    for number, line in enumerate(folded(finding.what, width, " " * COLUMN)):
        head = (Span(f"{sign} ", style), Span(f"{finding.name:<{COLUMN - 2}}")) if number == 0 else ()
        yield (*head, Span(line[COLUMN:] if head else line))
    if not finding.ok and finding.fix:
        yield (Span(f"{' ' * COLUMN}{finding.fix}", "busy"),)


def _say_sum(findings: list[Finding], *, well: bool) -> None:
    from tenuto.app.nouns import counted

    lacking = sum(not finding.ok for finding in findings)
    if not lacking:
        say("nothing is missing")
    elif well:
        say(f"ready; {counted(lacking, 'thing')} that some plans need {'is' if lacking == 1 else 'are'} missing (–)")
    else:
        say("not ready: what is marked by ✗ is needed")
