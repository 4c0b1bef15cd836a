"""The keys of policies that stand in a step, an agent, or a plan's defaults: the nearest wins."""

from __future__ import annotations

from typing import Any

from tenuto.adapters.plans.kinds import COUNT, DURATION, PAUSE, choice
from tenuto.adapters.plans.reading import Field, Shape
from tenuto.adapters.plans.yaml_document import KeyPath
from tenuto.core.policies import Retry

__all__ = ["POLICIES", "renamed"]


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

POLICIES = (
    Field("timeout", DURATION, "Deadline of each single call"),
    Field("retry", RETRY, "What is tried again, and how often"),
    Field(
        "on_error",
        choice("fail", "continue", "skip"),
        "fail: the run fails; continue: dependents see the error; skip: they are skipped",
    ),
)
