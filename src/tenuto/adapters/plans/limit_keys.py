"""The keys of `budget:` and `limits:`."""

from __future__ import annotations

from typing import Any

from tenuto.adapters.plans.kinds import AMOUNT, DURATION, MONEY
from tenuto.adapters.plans.reading import Field, Shape
from tenuto.adapters.plans.yaml_document import KeyPath
from tenuto.core.budget import Limits

__all__ = ["RUN_LIMITS", "STEP_LIMITS"]

_RENAMED = {"usd": "usd_micros", "time": "time_ms"}


def _limits(values: dict[str, Any], _path: KeyPath) -> Limits:
    return Limits(**{_RENAMED.get(key, key): value for key, value in values.items()})


_AMOUNTS = (
    Field("usd", MONEY, "US dollars, as a string"),
    Field("tokens", AMOUNT, "Tokens, input and output together"),
    Field("input_tokens", AMOUNT, "Tokens of requests"),
    Field("output_tokens", AMOUNT, "Tokens of replies"),
    Field("model_calls", AMOUNT, "Calls of models"),
    Field("tool_calls", AMOUNT, "Calls of tools"),
    Field("iterations", AMOUNT, "Turns of agent loops"),
)
_TIME = Field("time", DURATION, "Time the engine is active")

STEP_LIMITS = Shape("a budget", _AMOUNTS, _limits)
RUN_LIMITS = Shape("a budget", (*_AMOUNTS, _TIME), _limits)
