"""Amounts as flags give them: `usd=1.50`, `tokens=100000`, `time=10m`; the same rules as in a plan's `budget:`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenuto.core.budget import NOTHING, Amount, Limits
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

__all__ = ["AMOUNT_NAMES", "read_amounts", "require_limited"]

AMOUNT_NAMES = {
    "usd": "usd_micros",
    "tokens": "tokens",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "model_calls": "model_calls",
    "tool_calls": "tool_calls",
    "iterations": "iterations",
    "time": "time_ms",
}
"""What can be added, by the names of flags and plans, with the dimension each is."""
_EXAMPLES = {"usd": "1.50", "time": "10m", "tokens": "100000"}


def read_amounts(given: Sequence[str], *, flag: str = "--add-budget") -> tuple[Amount, int]:
    """What is added to a budget, and how many milliseconds to its time. UsageError names the flag."""
    if not given:
        return NOTHING, 0
    from tenuto.adapters.plans.limit_keys import RUN_LIMITS
    from tenuto.adapters.plans.reading import Reading, Unreadable
    from tenuto.adapters.plans.yaml_document import read_yaml

    reading = Reading(read_yaml(b"{}", flag), Path())
    fields = {field.name: field for field in RUN_LIMITS.fields}
    amounts: dict[str, int] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        where = f"{flag} {shorten(pair)}"
        if not equals:
            raise UsageError("an amount is given as NAME=AMOUNT", where=where, fix="for example tokens=100000")
        if name not in fields:
            raise UsageError("this cannot be budgeted", where=where, fix=did_you_mean(name, fields))
        if name in amounts:
            raise UsageError("this amount is given twice", where=where, fix="give it once")
        if text.startswith("-"):
            fix = f"give what is added, such as {name}={_EXAMPLES.get(name, '100')}"
            raise UsageError("a budget is added to, never taken from", where=where, fix=fix)
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text
        if name == "usd":
            value = text
        try:
            amounts[name] = fields[name].kind.read(reading, value, (name,))
        except Unreadable as error:
            what, _, _ = error.problem
            fix = f"write for example {name}={_EXAMPLES.get(name, '100')}"
            raise UsageError(what, where=where, fix=fix) from None
        if not amounts[name]:
            raise UsageError("this adds nothing", where=where, fix="give more than 0")
    time_ms = amounts.pop("time", 0)
    return Amount(usd_micros=amounts.pop("usd", 0), **amounts), time_ms


def require_limited(limits: Limits, added: Amount, added_time_ms: int) -> None:
    """Refuse to add to what a run does not limit: nothing would come of it. UsageError names what it limits."""
    limited = [name for name, dimension in AMOUNT_NAMES.items() if getattr(limits, dimension) is not None]
    for name, dimension in AMOUNT_NAMES.items():
        amount = added_time_ms if name == "time" else getattr(added, dimension)
        if amount and name not in limited:
            fix = f"it limits {', '.join(limited)}" if limited else "it limits nothing: leave the flag out"
            raise UsageError(f"the plan does not limit {name}", where=f"--add-budget {name}", fix=fix)
