"""Plans, their inputs and their defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from tenuto.adapters.building.values import Duration, json_value, milliseconds
from tenuto.core.budget import Limits
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import Defaults, InputSpec, Plan, Step
from tenuto.core.policies import OnError, Retry
from tenuto.core.repetition import Repeatable
from tenuto.errors import UsageError

__all__ = ["defaults", "input", "plan"]

InputType = Literal["string", "integer", "number", "boolean", "array", "object"]

_TYPES: dict[Any, InputType] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def plan(
    name: str,
    *steps: Step,
    description: str = "",
    inputs: Mapping[str, InputSpec] | None = None,
    outputs: Mapping[str, Any] | None = None,
    budget: Limits = Limits(),  # noqa: B008 - a frozen value
    defaults: Defaults = Defaults(),  # noqa: B008 - likewise
    merge: MergePolicy = MergePolicy(),  # noqa: B008 - likewise
    agents: Iterable[str] = (),
    tools: Iterable[str] = (),
) -> Plan:
    """Steps in plan order. `tools` are modules (`python:MODULE`), `agents` the globs of a plan from files."""
    return Plan(
        agents=tuple(agents),
        budget=budget,
        defaults=defaults,
        description=description,
        inputs=dict(inputs or {}),
        merge=merge,
        name=name,
        outputs={key: json_value(value, f"{name}.outputs.{key}") for key, value in (outputs or {}).items()},
        steps=steps,
        tools=tuple(tools),
    )


def input(
    type: type[str | int | float | bool | list[Any] | dict[str, Any]] | InputType = "string",
    *,
    default: Any = msgspec.UNSET,
    description: str = "",
) -> InputSpec:
    """What a run is given under one name. Without `default` it must be given."""
    kind = type if isinstance(type, str) else _TYPES.get(type)
    if kind is None:
        raise UsageError(f"{type!r} is no type of inputs", fix="use str, int, float, bool, list or dict")
    raw = None if default is msgspec.UNSET else json_value(default, "default")
    return InputSpec(default=raw, description=description, type=kind)


def defaults(
    *,
    model: str | None = None,
    max_tokens: int | None = None,
    timeout: Duration | None = None,
    retry: Retry = Retry(),  # noqa: B008 - a frozen value
    on_error: OnError = "fail",
    repeatable: Repeatable | bool | None = None,
) -> Defaults:
    """What holds where neither a step nor its agent says otherwise."""
    return Defaults(
        max_tokens=max_tokens,
        model=model,
        on_error=on_error,
        repeatable=Repeatable(on=repeatable) if isinstance(repeatable, bool) else repeatable,
        retry=retry,
        timeout_ms=milliseconds(timeout),
    )
