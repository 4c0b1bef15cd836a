"""The options of a mock model, and how they are written into its name.

    mock:[NAME][?KEY=VALUE[&KEY=VALUE]...]

| key | meaning | default |
| --- | --- | --- |
| `latency_ms` | time a call takes, `20` or a range `5..50` | 0 |
| `size` | bytes of a text answer, `2048` or a range | 160 |
| `fail` | share of tries that fail, 0 to 1 | 0 |
| `kinds` | which failures: `rate_limited`, `server`, `timeout`, joined by `+` | all three |
| `retry_after_ms` | what a `rate_limited` failure asks for | 1000 |
| `tools` | rounds of tool calls before the answer, where the request offers tools | 0 |
| `calls` | tool calls in each round | 1 |
| `input_micros`, `output_micros` | price, in millionths of a dollar for a million tokens | none |

NAME `echo` answers with the last message; any other name is only part of the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tenuto.errors import UsageError

__all__ = ["FAILURE_KINDS", "MockOptions", "parse_mock_name"]

FAILURE_KINDS = ("rate_limited", "server", "timeout")
_SIZE_MAX = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class MockOptions:
    """How a mock model behaves; see the module's table. Ranges are inclusive."""

    calls: int = 1
    fail: float = 0.0
    input_micros: int | None = None
    kinds: tuple[str, ...] = FAILURE_KINDS
    latency_ms: tuple[int, int] = (0, 0)
    output_micros: int | None = None
    retry_after_ms: int = 1_000
    size: tuple[int, int] = (160, 160)
    tools: int = 0


def parse_mock_name(name: str, defaults: MockOptions) -> tuple[str, MockOptions]:
    """Split the part after `mock:` into the model's own name and its options. UsageError says what is wrong."""
    plain, _, query = name.partition("?")
    if not query:
        return plain, defaults
    changes: dict[str, Any] = {}
    for item in query.split("&"):
        key, equals, value = item.partition("=")
        reader = _READERS.get(key)
        where = f"model mock:{name}"
        if reader is None or not equals:
            known = ", ".join(_READERS)
            raise UsageError(f"unknown option {item!r}", where=where, fix=f"write KEY=VALUE; known keys: {known}")
        if key in changes:
            raise UsageError(f"option {key} is given twice", where=where, fix="give it once")
        try:
            changes[key] = reader(value)
        except ValueError as error:
            raise UsageError(f"{key}={value}: {error}", where=where, fix=f"for example {_EXAMPLES[key]}") from error
    return plain, replace(defaults, **changes)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise ValueError("not a whole number")
    return int(text)


def _range(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    low = _whole(first)
    high = _whole(last) if dots else low
    if high < low:
        raise ValueError("the range runs backwards")
    if high > _SIZE_MAX:
        raise ValueError(f"more than {_SIZE_MAX}")
    return low, high


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("not a number from 0 to 1") from None
    if not 0 <= value <= 1:
        raise ValueError("not a number from 0 to 1")
    return value


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split("+"))
    for kind in kinds:
        if kind not in FAILURE_KINDS:
            raise ValueError(f"no failure is called {kind!r} (known: {', '.join(FAILURE_KINDS)})")
    return kinds


def _few(text: str) -> int:
    value = _whole(text)
    if value > 1_000:
        raise ValueError("more than 1000")
    return value


def _some(text: str) -> int:
    value = _few(text)
    if value < 1:
        raise ValueError("less than 1")
    return value


_READERS = {
    "latency_ms": _range,
    "size": _range,
    "fail": _share,
    "kinds": _kinds,
    "retry_after_ms": _whole,
    "tools": _few,
    "calls": _some,
    "input_micros": _whole,
    "output_micros": _whole,
}
_EXAMPLES = {
    "latency_ms": "latency_ms=5..50",
    "size": "size=2048",
    "fail": "fail=0.1",
    "kinds": "kinds=server+timeout",
    "retry_after_ms": "retry_after_ms=500",
    "tools": "tools=2",
    "calls": "calls=3",
    "input_micros": "input_micros=250000",
    "output_micros": "output_micros=2000000",
}
