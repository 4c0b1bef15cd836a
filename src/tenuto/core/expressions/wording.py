"""How names and values are shown in messages: short, printable, on one line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from tenuto.core.printable import is_printable, printable

__all__ = ["cut", "kind_of", "listed", "one_line", "quoted"]

_SHOWN_MAX = 60
_NAMES_MAX = 8


def cut(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def one_line(text: str) -> str:
    """A source text without line breaks and unprintable characters."""
    return printable(" ".join(text[: 8 * _SHOWN_MAX].split()))


def quoted(text: str) -> str:
    """A text as a JSON string; escaped where it is not printable."""
    return json.dumps(text, ensure_ascii=not is_printable(text))


def listed(names: Iterable[Any]) -> str:
    """At most a few names, so that an error stays one line."""
    shown = list(islice((cut(quoted(str(name))) for name in names), _NAMES_MAX + 1))
    if not shown:
        return "nothing"
    return ", ".join(shown[:_NAMES_MAX]) + (", ..." if len(shown) > _NAMES_MAX else "")


def kind_of(value: Any) -> str:
    """What a JSON value is, in words: `a string`, `true or false`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (int, float)):
        return "a number"
    return "an object" if isinstance(value, Mapping) else "a list"
