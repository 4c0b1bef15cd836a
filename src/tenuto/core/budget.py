"""Amounts, limits and accounts: the arithmetic of the ledger. Integers only; money in millionths of a US dollar.

Follows TigerBeetle's two-phase transfers: a hold is reserved before a call, then settled (the hold becomes a
charge) or released. For every account and dimension `free = granted - spent - held` and never negative.
"""

from __future__ import annotations

import msgspec

__all__ = ["DIMENSIONS", "NOTHING", "Account", "Amount", "Limits", "add", "shortfall", "subtract"]

DIMENSIONS = (
    "tokens",
    "input_tokens",
    "output_tokens",
    "usd_micros",
    "model_calls",
    "tool_calls",
    "iterations",
)
"""What can be spent, in the order in which it is always listed."""


class Amount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How much of each dimension. `tokens` is the total of input and output."""

    input_tokens: int = 0
    iterations: int = 0
    model_calls: int = 0
    output_tokens: int = 0
    tokens: int = 0
    tool_calls: int = 0
    usd_micros: int = 0

    @property
    def nothing(self) -> bool:
        return self == NOTHING


NOTHING = Amount()
"""The one empty amount: arithmetic gives this very object, since a field is left out of a record only where it holds
its default itself."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """At most how much of each dimension; None = no limit. `time_ms` is engine-active time of a run."""

    input_tokens: int | None = None
    iterations: int | None = None
    model_calls: int | None = None
    output_tokens: int | None = None
    time_ms: int | None = None
    tokens: int | None = None
    tool_calls: int | None = None
    usd_micros: int | None = None

    @property
    def limited(self) -> tuple[str, ...]:
        """The limited dimensions, in the order of `DIMENSIONS` (time is kept by the run, not by accounts)."""
        return tuple(d for d in DIMENSIONS if getattr(self, d) is not None)


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one step (or lane, or child) may spend. Only dimensions that the run limits are checked."""

    granted: Amount = NOTHING
    held: Amount = NOTHING
    in_doubt: Amount = NOTHING
    spent: Amount = NOTHING

    @property
    def free(self) -> Amount:
        return subtract(subtract(self.granted, self.spent), self.held)


def add(a: Amount, b: Amount) -> Amount:
    if b is NOTHING:
        return a
    if a is NOTHING:
        return b
    amount = Amount(
        input_tokens=a.input_tokens + b.input_tokens,
        iterations=a.iterations + b.iterations,
        model_calls=a.model_calls + b.model_calls,
        output_tokens=a.output_tokens + b.output_tokens,
        tokens=a.tokens + b.tokens,
        tool_calls=a.tool_calls + b.tool_calls,
        usd_micros=a.usd_micros + b.usd_micros,
    )
    return NOTHING if amount == NOTHING else amount


def subtract(a: Amount, b: Amount) -> Amount:
    if b is NOTHING:
        return a
    amount = Amount(
        input_tokens=a.input_tokens - b.input_tokens,
        iterations=a.iterations - b.iterations,
        model_calls=a.model_calls - b.model_calls,
        output_tokens=a.output_tokens - b.output_tokens,
        tokens=a.tokens - b.tokens,
        tool_calls=a.tool_calls - b.tool_calls,
        usd_micros=a.usd_micros - b.usd_micros,
    )
    return NOTHING if amount == NOTHING else amount


def shortfall(need: Amount, free: Amount, dimensions: tuple[str, ...]) -> Amount:
    """What is missing in `free` to pay `need`, looking at the limited dimensions only."""
    missing = {d: getattr(need, d) - getattr(free, d) for d in dimensions if getattr(need, d) > getattr(free, d)}
    return Amount(**missing) if missing else NOTHING
