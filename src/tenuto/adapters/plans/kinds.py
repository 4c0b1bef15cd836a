"""What a single value of a plan file may be: names, counts, money, durations, globs, JSON with expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Raw

from tenuto.adapters.plans.reading import UNREAD, Kind, Reading, Shape, Unreadable, described
from tenuto.adapters.plans.yaml_document import KeyPath
from tenuto.core.canonical import canonical
from tenuto.core.durations import DURATION_PATTERN, read_duration_ms
from tenuto.core.ids import valid_name
from tenuto.core.problems import did_you_mean, shorten

__all__ = [
    "AMOUNT",
    "COUNT",
    "DURATION",
    "FLAG",
    "JSON",
    "MODEL",
    "MONEY",
    "NAME",
    "PAUSE",
    "RELATIVE",
    "TEXT",
    "choice",
    "list_of",
    "mapping_of",
]

_INTEGER_MAX = 10**15
_MONEY = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?\Z")
_DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN, "examples": ["20m"]}


def _text(_reading: Reading, value: Any, _path: KeyPath) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"this must be a text, but is {described(value)}", "write it in quotes")
    return value


def _name(reading: Reading, value: Any, path: KeyPath) -> str:
    text = _text(reading, value, path)
    if not valid_name(text):
        raise Unreadable(
            f"{shorten(text)!r} cannot be a name", "use a letter, then at most 63 letters, digits, _ or -"
        )
    return text


def _flag(_reading: Reading, value: Any, _path: KeyPath) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f"this must be true or false, but is {described(value)}", "write true or false")
    return value


def _integer(value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unreadable(
            f"this must be a whole number, but is {described(value)}", "write a number such as 10, without quotes"
        )
    if not least <= value <= _INTEGER_MAX:
        raise Unreadable(f"the number is too {'small' if value < least else 'large'}", f"write at least {least}")
    return value


def _count(_reading: Reading, value: Any, _path: KeyPath) -> int:
    return _integer(value, 1)


def _amount(_reading: Reading, value: Any, _path: KeyPath) -> int:
    return _integer(value, 0)


def _pause(_reading: Reading, value: Any, _path: KeyPath) -> int:
    try:
        return read_duration_ms(value if isinstance(value, str) else "")
    except ValueError:
        fix = 'write a number with its unit, such as "20m", "1h30m", "5s" or "500ms"'
        raise Unreadable(f"this must be a duration, but is {described(value)}", fix) from None


def _duration(reading: Reading, value: Any, path: KeyPath) -> int:
    milliseconds = _pause(reading, value, path)
    if milliseconds == 0:
        raise Unreadable("a duration of nothing", "write at least 1ms")
    return milliseconds


def _money(_reading: Reading, value: Any, _path: KeyPath) -> int:
    match = _MONEY.match(value) if isinstance(value, str) else None
    if match is None:
        fix = 'write dollars as a string with at most 6 decimals, such as "2.00"'
        raise Unreadable(f"money is a string of digits, not {described(value)}", fix)
    return int(match[1]) * 1_000_000 + int((match[2] or "").ljust(6, "0"))


def _model(reading: Reading, value: Any, path: KeyPath) -> str:
    text = _text(reading, value, path)
    provider, colon, _ = text.partition(":")
    if not colon or not valid_name(provider):
        raise Unreadable(
            f"{shorten(text)!r} does not name a model", "write provider:model, such as mock: or openai:gpt-5"
        )
    return text


def _relative(reading: Reading, value: Any, path: KeyPath) -> str:
    text = _text(reading, value, path)
    if not text or text.startswith(("/", "~")) or "\\" in text or "\x00" in text or re.match(r"[A-Za-z]:", text):
        raise Unreadable(f"{shorten(text)!r} is not a relative path", "write it relative to the plan, with /")
    return text


def _json(_reading: Reading, value: Any, _path: KeyPath) -> Raw:
    return Raw(canonical(value))


TEXT = Kind(_text, {"type": "string"})
NAME = Kind(_name, {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,63}$"})
FLAG = Kind(_flag, {"type": "boolean"})
COUNT = Kind(_count, {"type": "integer", "minimum": 1})
AMOUNT = Kind(_amount, {"type": "integer", "minimum": 0})
DURATION = Kind(_duration, _DURATION_SCHEMA)
PAUSE = Kind(_pause, _DURATION_SCHEMA)
MONEY = Kind(_money, {"type": "string", "pattern": r"^\d{1,9}(\.\d{1,6})?$", "examples": ["2.00"]})
MODEL = Kind(_model, {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]*:", "examples": ["mock:"]})
RELATIVE = Kind(_relative, {"type": "string"})
JSON = Kind(_json, {})


def choice(*words: str) -> Kind:
    """One of a few words."""

    def read(_reading: Reading, value: Any, _path: KeyPath) -> str:
        if not isinstance(value, str) or value not in words:
            fix = did_you_mean(value, words) if isinstance(value, str) else f"use one of: {', '.join(words)}"
            raise Unreadable(f"this is one of {', '.join(words)}, not {described(value)}", fix)
        return words[words.index(value)]  # the word itself: defaults are told by identity when a plan is written

    return Kind(read, {"enum": list(words)})


def list_of(kind: Kind | Shape, what: str) -> Kind:
    """A list; read as a tuple."""

    def read(reading: Reading, value: Any, path: KeyPath) -> Sequence[Any]:
        if not isinstance(value, list):
            raise Unreadable(f"this is a list of {what}, not {described(value)}", "write it in brackets: [...]")
        return tuple(reading.take(kind, item, (*path, index)) for index, item in enumerate(value))

    return Kind(read, {"type": "array", "items": kind.schema})


def mapping_of(kind: Kind | Shape, what: str, *, check_name: Callable[[str], str | None] | None = None) -> Kind:
    """An object whose keys are names; read as a dict in file order. `check_name` tells why a name cannot be."""

    def read(reading: Reading, value: Any, path: KeyPath) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise Unreadable(
                f"this maps names to {what}, not {described(value)}", f"write NAME: for each of the {what}"
            )
        result: dict[str, Any] = {}
        for name, item in value.items():
            wrong = check_name(name) if check_name is not None else None
            fix = "use another name"
            if wrong is None and not valid_name(name):
                wrong, fix = "this cannot be a name", "use a letter, then at most 63 letters, digits, _ or -"
            if wrong is not None:
                reading.note((*path, name), wrong, fix, key=True)
                continue
            result[name] = reading.take(kind, item, (*path, name))
        return {name: item for name, item in result.items() if item is not UNREAD}

    return Kind(read, {"type": "object", "propertyNames": NAME.schema, "additionalProperties": kind.schema})
