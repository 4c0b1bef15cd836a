"""What expressions may see: inputs, the outputs of plan ancestors, the item of a `foreach` child, the iteration of a
`repeat`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tenuto.core.canonical import canonical
from tenuto.core.expressions import Template
from tenuto.core.ids import StepPath, iteration_path, member_path
from tenuto.core.state import ROOT, ExecutionState, StepState

__all__ = ["foreach_items", "outer_scope", "plan_scope", "rendered", "step_scope", "until_scope"]


class _Steps(Mapping[str, Any]):
    """The steps of a plan by name, decoded only where an expression looks."""

    __slots__ = ("_block", "_state")

    def __init__(self, state: ExecutionState, block: StepPath) -> None:
        self._state = state
        self._block = block

    def __getitem__(self, name: str) -> Any:
        return _StepView(self._state.steps[member_path(self._block, name)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.block_spec(self._block).index)

    def __len__(self) -> int:
        return len(self._state.block_spec(self._block).index)


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


_NOT_YET = {"output": None, "error": None, "status": "none"}
"""`last` in the first iteration of a `repeat`."""


def plan_scope(state: ExecutionState, block: StepPath = ROOT) -> dict[str, Any]:
    """What the outputs of a plan see."""
    return {"inputs": state.blocks[block].inputs.value, "steps": _Steps(state, block)}


def step_scope(state: ExecutionState, step: StepState) -> dict[str, Any]:
    """What a step's templates see. `with` holds the step's values, themselves rendered from the rest."""
    scope = outer_scope(state, step)
    values = state.compiled(step).values
    scope["with"] = {} if values is None else values.evaluate(scope)
    return scope


def rendered(state: ExecutionState, step: StepState, template: Template) -> str:
    """The text of one of a step's templates."""
    return template.render({} if template.constant else step_scope(state, step))


def outer_scope(state: ExecutionState, step: StepState) -> dict[str, Any]:
    """What a step's values see: the plan, the item of its `foreach`, the iteration of its `repeat`."""
    scope = plan_scope(state, step.block)
    while step.parent is not None and step.child_index >= 0:
        parent = state.steps[step.parent]
        if parent.expansion is not None:
            scope["item"] = msgspec.json.decode(parent.expansion.items[step.child_index])
            scope["key"] = parent.expansion.keys[step.child_index]
        else:
            _iterate(state, scope, parent, step.child_index)
        step = parent
    return scope


def until_scope(state: ExecutionState, step: StepState, number: int) -> dict[str, Any]:
    """What `until` sees after an iteration of this step: that iteration is the last."""
    scope = outer_scope(state, step)
    _iterate(state, scope, step, number + 1)
    scope["iteration"] = number
    return scope


def _iterate(state: ExecutionState, scope: dict[str, Any], parent: StepState, number: int) -> None:
    scope["iteration"] = number
    before = state.steps.get(iteration_path(parent.path, number - 1))
    scope["last"] = _NOT_YET if before is None else _StepView(before)


def foreach_items(state: ExecutionState, step: StepState) -> tuple[msgspec.Raw, ...]:
    """The items of a `foreach`. Raises ValueError (ExpressionError is one) where they are no list."""
    template = state.compiled(step).foreach
    if template is None:
        raise ValueError(f"{step.path} has no foreach")
    found = template.evaluate(plan_scope(state, step.block))
    try:
        items = msgspec.convert(found, list[Any])
    except msgspec.ValidationError:
        raise ValueError(f"foreach needs a list, found {type(found).__name__}") from None
    return tuple(msgspec.Raw(canonical(item)) for item in items)
