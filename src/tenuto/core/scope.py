"""What expressions may see: inputs, the outputs of plan ancestors, and the item of a `foreach` child."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tenuto.core.canonical import canonical
from tenuto.core.expressions import Template
from tenuto.core.state import ExecutionState, StepState

__all__ = ["foreach_items", "rendered", "run_scope", "step_scope"]


class _Steps(Mapping[str, Any]):
    """The steps of a run by name, decoded only where an expression looks."""

    __slots__ = ("_state",)

    def __init__(self, state: ExecutionState) -> None:
        self._state = state

    def __getitem__(self, name: str) -> Any:
        step = self._state.steps[name]  # type: ignore[index]  # a plain name is the path of a plan's step
        return _StepView(step)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.spec.index)

    def __len__(self) -> int:
        return len(self._state.spec.index)


class _StepView(Mapping[str, Any]):
    __slots__ = ("_step",)

    def __init__(self, step: StepState) -> None:
        self._step = step

    def __getitem__(self, field: str) -> Any:
        step = self._step
        if field == "output":
            return None if step.output is None else step.output.value
        if field == "status":
            return step.status
        if field == "error":
            return None if step.error is None else {"kind": step.error.kind, "message": step.error.message}
        raise KeyError(field)

    def __iter__(self) -> Iterator[str]:
        return iter(("output", "status", "error"))

    def __len__(self) -> int:
        return 3


def run_scope(state: ExecutionState) -> dict[str, Any]:
    """What the plan's outputs see."""
    return {"inputs": {} if state.inputs is None else state.inputs.value, "steps": _Steps(state)}


def step_scope(state: ExecutionState, step: StepState) -> dict[str, Any]:
    """What a step's templates see. `with` holds the step's values, themselves rendered from the rest."""
    scope = run_scope(state)
    if step.child_index >= 0 and step.parent is not None:
        expansion = state.steps[step.parent].expansion
        if expansion is not None:
            scope["item"] = msgspec.json.decode(expansion.items[step.child_index])
            scope["key"] = expansion.keys[step.child_index]
    values = state.spec.step(step.name).values
    scope["with"] = {} if values is None else values.evaluate(scope)
    return scope


def rendered(state: ExecutionState, step: StepState, template: Template) -> str:
    """The text of one of a step's templates."""
    return template.render({} if template.constant else step_scope(state, step))


def foreach_items(state: ExecutionState, step: StepState) -> tuple[msgspec.Raw, ...]:
    """The items of a `foreach`. Raises ValueError (ExpressionError is one) where they are no list."""
    template = state.spec.step(step.name).foreach
    if template is None:
        raise ValueError(f"{step.path} has no foreach")
    found = template.evaluate({**run_scope(state), "with": {}})
    try:
        items = msgspec.convert(found, list[Any])
    except msgspec.ValidationError:
        raise ValueError(f"foreach needs a list, found {type(found).__name__}") from None
    return tuple(msgspec.Raw(canonical(item)) for item in items)
