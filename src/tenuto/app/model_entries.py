"""How the configuration declares prices and profiles of models, and how fast providers may be asked."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from tenuto.core.models import Price
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError
from tenuto.runtime.pacing import ProviderLimits

__all__ = ["PRICE_KEYS", "PROVIDER_KEYS", "READERS", "read_price_entry", "read_profile_entry", "read_provider_entry"]

PRICE_KEYS = ("input", "output", "source", "date")
PROVIDER_KEYS = ("at_once", "failures_max", "requests_per_minute", "tokens_per_minute")
PROFILED = ("openai", "openai-responses")
"""The providers behind which any server may be."""
_DOLLARS_MAX = 1_000_000
_COUNT_MAX = 1_000_000_000
_MONEY = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_PRICE = '{ input = "0.25", output = "2.00" }'
_LIMITS = "{ requests_per_minute = 500, at_once = 8 }"


def read_price_entry(name: str, entry: Any, origin: str) -> Price:
    """One entry of the table `prices`: US dollars for a million tokens, as texts, by the full name of a model."""
    where = f"price of {shorten(name)} ({origin})"
    _require_table(entry, PRICE_KEYS, where, _PRICE)
    if ":" not in name:
        raise UsageError("a model is named provider:model", where=where, fix='write [prices."openai:gpt-5-mini"]')
    missing = [key for key in ("input", "output") if key not in entry]
    if missing:
        raise UsageError(f"{missing[0]} is missing", where=where, fix=f"write {_PRICE}")
    day = entry.get("date", "")
    day = day.isoformat() if isinstance(day, date) else day
    source = entry.get("source", "the configuration")
    if not isinstance(day, str) or (day and not _DATE.match(day)):
        raise UsageError("date is no day", where=where, fix='write for example date = "2026-11-01"')
    if not isinstance(source, str):
        raise UsageError("source is no text", where=where, fix="say in quotes where the price is from")
    return Price(
        date=day,
        input_micros=_micros(entry["input"], "input", where),
        output_micros=_micros(entry["output"], "output", where),
        source=source,
    )


def _micros(value: Any, key: str, where: str) -> int:
    if isinstance(value, str) and _MONEY.match(value):
        try:
            dollars = Decimal(value)
        except InvalidOperation:
            dollars = Decimal(-1)
        if 0 <= dollars <= _DOLLARS_MAX:
            return int(dollars * 1_000_000)
    raise UsageError(f"{key} is no amount of dollars in quotes", where=where, fix=f"write {_PRICE}")


def read_profile_entry(name: str, entry: Any, origin: str) -> str:
    """One entry of the table `profiles`: the full name of a model, and what is known of it under which name."""
    where = f"profile of {shorten(name)} ({origin})"
    if name.partition(":")[0] not in PROFILED:
        fix = 'write for example "openai:my-model" = "vllm"'
        raise UsageError("only models of openai: and openai-responses: can be given a profile", where=where, fix=fix)
    if not isinstance(entry, str):
        raise UsageError("a profile is named by a text", where=where, fix='write for example "vllm"')
    return entry


def read_provider_entry(name: str, entry: Any, origin: str) -> ProviderLimits:
    """One entry of the table `providers`: whole numbers; `failures_max = 0` never lets a provider rest."""
    where = f"provider {shorten(name)} ({origin})"
    _require_table(entry, PROVIDER_KEYS, where, _LIMITS)
    if not name or ":" in name:
        raise UsageError("a provider cannot have this name", where=where, fix="write for example [providers.openai]")
    for key, value in entry.items():
        least = 0 if key == "failures_max" else 1
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _COUNT_MAX:
            raise UsageError(f"{key} is no whole number from {least}", where=where, fix=f"write {_LIMITS}")
    if entry.get("failures_max") == 0:
        entry = {**entry, "failures_max": None}
    return ProviderLimits(**entry)


READERS = {"prices": read_price_entry, "profiles": read_profile_entry, "providers": read_provider_entry}
"""By table, what reads one of its entries."""


def _require_table(entry: Any, keys: tuple[str, ...], where: str, example: str) -> None:
    if not isinstance(entry, dict):
        raise UsageError("this has to be a table", where=where, fix=f"write {example}")
    for key in entry:
        if key not in keys:
            raise UsageError(f"there is no key {shorten(key)}", where=where, fix=did_you_mean(key, keys))
