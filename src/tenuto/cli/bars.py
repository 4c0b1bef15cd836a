"""The budget as bars: a line for every limit, and what is spent without one."""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.cli.amounts import NAMES, counted_amount, shown_amount
from tenuto.core.report import budget_report
from tenuto.core.state import ExecutionState

__all__ = ["BAR", "bar", "budget_lines"]

BAR = 24


def budget_lines(state: ExecutionState) -> Iterator[str]:
    """A bar for every limit: spent, reserved, free; and what is spent without a limit."""
    found = budget_report(state)
    limit, reserved, spent = found["limit"], found["reserved"], found["spent"]
    for name, cap in limit.items():
        used, held = spent.get(name, 0), reserved.get(name, 0)
        holds = f", {shown_amount(name, held)} reserved" if held else ""
        yield (
            f"{NAMES[name]:<13}  {bar(used, held, cap)}  {shown_amount(name, used)} spent{holds}, "
            f"of {shown_amount(name, cap)}"
        )
    free = [counted_amount(name, amount) for name, amount in spent.items() if name not in limit and amount]
    if free:
        yield f"{'also spent' if limit else 'spent':<13}  {', '.join(free)}"
    for hold in found["in_doubt"]:
        amounts = ", ".join(counted_amount(n, a) for n, a in hold.items() if n in NAMES and a)
        yield f"{'in doubt':<13}  {hold['call']} (try {hold['try']}): {amounts or 'nothing'}"


def bar(spent: int, reserved: int, cap: int) -> str:
    """`████▒▒░░`: spent, reserved, free."""
    if cap <= 0:
        return "█" * BAR
    full = min(BAR, round(BAR * spent / cap))
    held = min(BAR - full, round(BAR * reserved / cap))
    return "█" * full + "▒" * held + "░" * (BAR - full - held)
