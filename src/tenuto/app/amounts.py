"""Amounts as flags give them: `usd=1.50`, `tokens=100000`, `time=10m`; the same rules as in a plan's `budget:`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenuto.core.budget import NOTHING, Amount
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

__all__ = ["read_amounts"]


def read_amounts(given: Sequence[str]) -> tuple[Amount, int]:
    """What is added to a budget, and how many milliseconds to its time. UsageError names the flag."""
    if not given:
        return NOTHING, 0
    from tenuto.adapters.plans.limit_keys import RUN_LIMITS
    from tenuto.adapters.plans.reading import Reading, Unreadable
    from tenuto.adapters.plans.yaml_document import read_yaml

    reading = Reading(read_yaml(b"{}", "--add-budget"), Path())
    fields = {field.name: field for field in RUN_LIMITS.fields}
    amounts: dict[str, int] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        where = f"--add-budget {shorten(pair)}"
        if not equals:
            raise UsageError("an amount is given as NAME=AMOUNT", where=where, fix="for example tokens=100000")
        if name not in fields:
            raise UsageError("this cannot be budgeted", where=where, fix=did_you_mean(name, fields))
        if name in amounts:
            raise UsageError("this amount is given twice", where=where, fix="give it once")
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text
        if name == "usd":
            value = text
        try:
            amounts[name] = fields[name].kind.read(reading, value, (name,))
        except Unreadable as error:
            what, fix, _ = error.problem
            raise UsageError(what, where=where, fix=fix) from None
    time_ms = amounts.pop("time", 0)
    return Amount(usd_micros=amounts.pop("usd", 0), **amounts), time_ms
