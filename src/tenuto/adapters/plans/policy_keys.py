"""The keys of policies that stand in a step, an agent, or a plan's defaults: the nearest wins."""

from __future__ import annotations

from typing import Any

from tenuto.adapters.plans.kinds import COUNT, DURATION, PAUSE, choice
from tenuto.adapters.plans.reading import Field, Kind, Reading, Shape, Unreadable, described
from tenuto.adapters.plans.yaml_document import KeyPath
from tenuto.core.policies import Retry
from tenuto.core.repetition import CLOCK_PATTERN, Repeatable, clock_seconds

__all__ = ["POLICIES", "REPEATABLE", "renamed"]


def renamed(values: dict[str, Any], **names: str) -> dict[str, Any]:
    """The values under the names that the core has for them."""
    return {names.get(key, key): value for key, value in values.items()}


def _retry(values: dict[str, Any], _path: KeyPath) -> Retry:
    return Retry(**renamed(values, backoff="backoff_ms"))


RETRY = Shape(
    "retry",
    (
        Field("attempts", COUNT, "Starts of the step, the first one included"),
        Field("tries", COUNT, "Repeats of one call for transport reasons (429, 5xx), the first one included"),
        Field("backoff", PAUSE, "Pause before the second one; doubled each time"),
    ),
    _retry,
)


def _clock(_reading: Reading, value: Any, _path: KeyPath) -> str:
    try:
        clock_seconds(value if isinstance(value, str) else "")
    except ValueError:
        fix = "write a moment of UTC since 1980, such as 2026-01-01T00:00:00Z"
        raise Unreadable(f"this must be a moment, but is {described(value)}", fix) from None
    return str(value)


_WITH_CLOCK = Shape(
    "repeatable",
    (Field("clock", Kind(_clock, {"type": "string", "pattern": CLOCK_PATTERN}), "The moment that clocks show"),),
    lambda values, _path: Repeatable(**values),
)


def _repeatable(reading: Reading, value: Any, path: KeyPath) -> Any:
    return Repeatable(on=value) if isinstance(value, bool) else _WITH_CLOCK.read(reading, value, path)


REPEATABLE = Kind(_repeatable, {"oneOf": [{"type": "boolean"}, _WITH_CLOCK.schema]})

POLICIES = (
    Field("timeout", DURATION, "Deadline of each single call"),
    Field("retry", RETRY, "What is tried again, and how often"),
    Field(
        "on_error",
        choice("fail", "continue", "skip"),
        "fail: the run fails; continue: dependents see the error; skip: they are skipped",
    ),
)
