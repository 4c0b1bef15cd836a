"""Amounts for people: money with its unit, thousands apart, nothing where nothing was spent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tenuto.app.nouns import counted

__all__ = [
    "NAMES",
    "counted_amount",
    "shown_amount",
    "shown_money",
    "shown_short_time",
    "shown_spending",
    "shown_time",
    "shown_when",
]

NAMES = {
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "usd_micros": "money",
    "model_calls": "model calls",
    "tool_calls": "tool calls",
    "iterations": "iterations",
    "time_ms": "time",
}
_TOLD = ("tokens", "usd_micros", "model_calls", "tool_calls", "time_ms")


def shown_money(micros: int) -> str:
    """Millionths of a dollar: `$1.50`, `$0.000123`."""
    text = f"{micros / 1_000_000:.6f}"
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


def shown_time(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def shown_short_time(milliseconds: int) -> str:
    """As `shown_time`, and in milliseconds below a second."""
    return f"{milliseconds} ms" if milliseconds < 1000 else shown_time(milliseconds)


def shown_when(at_us: int) -> str:
    """A time as people read it."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def shown_amount(dimension: str, amount: int) -> str:
    """One amount, with its unit where it has one."""
    match dimension:
        case "usd_micros":
            return shown_money(amount)
        case "time_ms":
            return shown_time(amount)
        case _:
            return f"{amount:,}"


def counted_amount(dimension: str, amount: int) -> str:
    """An amount with its noun: `1 tool call`, `1,501 tokens`; money and time have their own units."""
    if dimension in ("usd_micros", "time_ms"):
        return shown_amount(dimension, amount)
    return counted(amount, NAMES[dimension].removesuffix("s"))


def shown_spending(spent: Mapping[str, Any]) -> str:
    """What was spent, in one line."""
    return ", ".join(counted_amount(name, spent[name]) for name in _TOLD if spent.get(name, 0))
