"""Profiles of models, read from the data file beside this module when the first one is asked for."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

from tenuto.core.models import ModelProfile, Price
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

__all__ = ["find_profile", "profile_entries"]

_FIELDS = (
    "context_tokens",
    "date",
    "default_max_tokens",
    "entry",
    "grade",
    "input_overhead_tokens",
    "source",
    "verified",
)


def find_profile(
    provider: str, model: str, *, name: str, price: Price | None = None, entry: str | None = None
) -> ModelProfile:
    """What is known of `model` of `provider`, under the full name `name`; `entry` names the profile it has.

    LookupError for an unknown provider, UsageError for an entry that the provider has not.
    """
    known = _table()[provider]
    if entry is not None:
        found = next((one for one in known if one["entry"] == entry), None)
        if found is None:
            fix = did_you_mean(entry, [one["entry"] for one in known])
            raise UsageError(f"there is no profile {shorten(entry)}", where=f"profile of {name}", fix=fix)
        return _profile(found, name, price)
    for one in known:
        if any(fnmatchcase(model, pattern) for pattern in one.get("match", ())):
            return _profile(one, name, price)
    raise LookupError(f"no profile for {provider}:{model}")


def profile_entries() -> Iterator[tuple[str, tuple[str, ...], ModelProfile]]:
    """Every entry of the table: its provider, the names it is for, and what it says."""
    for provider, entries in _table().items():
        for one in entries:
            yield provider, tuple(one.get("match", ())), _profile(one, f"{provider}:", None)


def _profile(entry: dict[str, Any], name: str, price: Price | None) -> ModelProfile:
    known = {key: entry[key] for key in _FIELDS if key in entry}
    return ModelProfile(name=name, accepts=tuple(entry["accepts"]), price=price, **known)


@functools.cache
def _table() -> dict[str, list[dict[str, Any]]]:
    data = files("tenuto.adapters.models").joinpath("profiles.toml").read_text(encoding="utf-8")
    return tomllib.loads(data)
