"""Profiles of models, read from the data file beside this module when the first one is asked for."""

from __future__ import annotations

import functools
import tomllib
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

from tenuto.core.models import ModelProfile, Price

__all__ = ["find_profile"]

_FIELDS = ("context_tokens", "date", "default_max_tokens", "grade", "input_overhead_tokens", "source", "verified")


def find_profile(provider: str, model: str, *, name: str, price: Price | None = None) -> ModelProfile:
    """What is known of `model` of `provider`, under the full name `name`. LookupError for an unknown provider."""
    for entry in _table()[provider]:
        if any(fnmatchcase(model, pattern) for pattern in entry["match"]):
            known = {key: entry[key] for key in _FIELDS if key in entry}
            return ModelProfile(name=name, accepts=tuple(entry["accepts"]), price=price, **known)
    raise LookupError(f"no profile for {provider}:{model}")


@functools.cache
def _table() -> dict[str, list[dict[str, Any]]]:
    data = files("tenuto.adapters.models").joinpath("profiles.toml").read_text(encoding="utf-8")
    return tomllib.loads(data)
