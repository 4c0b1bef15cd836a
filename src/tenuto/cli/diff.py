"""`tenuto diff A B`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from tenuto.cli.completing import complete_runs
from tenuto.cli.options import examples, settings_for, shared_options, with_store
from tenuto.cli.output import print_json
from tenuto.errors import ExitCode

if TYPE_CHECKING:
    from tenuto.app.build import Store
    from tenuto.app.differing import Differing
    from tenuto.cli.screen import Line

__all__ = ["command"]


@click.command(
    "diff",
    short_help="Compare two runs, and show where they first differ.",
    epilog=examples("tenuto diff fix-1 fix-2", "tenuto diff fix-1 @last --json"),
)
@click.argument("a", shell_complete=complete_runs)
@click.argument("b", shell_complete=complete_runs)
@shared_options()
def command(a: str, b: str, store: str | None, as_json: bool) -> None:
    """Compare run A with run B: step by step, and the first difference with what was asked or answered.

    Exit 0 where they are the same (ids, times and order of arrival do not count), else 1.
    """

    async def work(opened: Store) -> Differing:
        from tenuto.app.differing import compare_runs

        return await compare_runs(opened, a, b)

    found = with_store(store, work)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        from tenuto.cli.screen import screen_of

        screen = screen_of(settings_for(store=store).variables)
        screen.show(_lines(found, screen.width))
    if not found.same:
        raise SystemExit(ExitCode.FAILED)


def _lines(found: Differing, width: int | None) -> Iterator[Line]:
    from tenuto.app.nouns import counted
    from tenuto.app.structures import structural_diff
    from tenuto.cli.amounts import shown_spending
    from tenuto.cli.screen import plain
    from tenuto.cli.table import styled_table

    if found.same:
        yield plain(f"the same: {found.a} and {found.b}, {counted(len(found.steps), 'step')}", "green")
        return
    differing = [step for step in found.steps if step.differs]
    yield plain(f"{found.a} and {found.b} differ in {len(differing)} of {counted(len(found.steps), 'step')}")
    if found.whole:
        yield plain(f"  of the runs: {', '.join(found.whole)}")
    if differing:
        yield plain("")
        rows = [
            [
                step.path,
                ", ".join(step.differs),
                *("-" if side is None else side.status for side in (step.a, step.b)),
                *("-" if side is None or side.spent is None else str(side.spent.tokens) for side in (step.a, step.b)),
            ]
            for step in differing
        ]
        heads = ["step", "differs in", "status a", "status b", "tokens a", "tokens b"]
        yield from styled_table(heads, rows, width=width, right=(4, 5))
    first = found.first
    if first is not None:
        yield plain("")
        yield plain(f"first: {first.what} of {first.call or first.step}", "bold")
        for line in structural_diff(first.a, first.b, found.a, found.b):
            style = "green" if line.startswith("+") else "red" if line.startswith("-") else ""
            yield plain(f"  {line}", style)
    if found.files:
        yield plain("")
        yield plain(f"files of {found.b} against {found.a}")
        for path, kind in found.files:
            yield plain(f"  {kind:8}  {path}")
    yield plain("")
    for name, spent in zip((found.a, found.b), found.spent, strict=True):
        yield plain(f"spent by {name}: {shown_spending(msgspec.to_builtins(spent)) or 'nothing'}")
