"""Steps that contain steps: the children of a `foreach`, the iterations of a `repeat`, the steps of a sub-plan."""

from __future__ import annotations

from typing import Any

from tenuto.core.content import Content
from tenuto.core.ids import child_path, iteration_path
from tenuto.core.plan_inputs import check_inputs
from tenuto.core.scope import plan_scope, step_scope
from tenuto.core.shares import PLENTY
from tenuto.core.state import ExecutionState, StepState
from tenuto.errors import UsageError

__all__ = ["last_iteration", "outcome_of", "sub_plan_inputs", "sub_plan_limits", "sub_plan_output"]


def outcome_of(state: ExecutionState, step: StepState) -> Content:
    """The output of a step whose work others did. Raises ValueError where a sub-plan's outputs cannot be had."""
    if step.expansion is not None:
        return _children_outputs(state, step, step.expansion.keys)
    if step.loop is not None:
        return last_iteration(state, step).output or Content.of(None)
    return sub_plan_output(state, step)


def _children_outputs(state: ExecutionState, step: StepState, keys: tuple[str, ...]) -> Content:
    """The list of the children's outputs in order, null where one has none."""
    parts: list[bytes] = []
    for key in keys:
        child = state.steps.get(child_path(step.path, key))
        parts.append(b"null" if child is None or child.output is None else child.output.data)
    return Content.of_bytes(b"[" + b",".join(parts) + b"]")


def last_iteration(state: ExecutionState, step: StepState) -> StepState:
    """The iteration that began last."""
    if step.loop is None:
        raise AssertionError(f"{step.path} does not repeat")
    return state.steps[iteration_path(step.path, step.loop.begun)]


def sub_plan_inputs(state: ExecutionState, step: StepState) -> dict[str, Any]:
    """The step's values as its sub-plan's inputs. Raises ValueError where they do not fit."""
    plan = state.spec_of(step).inner(step.name, step.produced).plan
    try:
        return check_inputs(plan, step_scope(state, step)["with"])
    except UsageError as error:
        raise ValueError(str(error)) from None


def sub_plan_output(state: ExecutionState, step: StepState) -> Content:
    """The outputs of a sub-plan that has ended; null where it declares none."""
    outputs = state.block_spec(step.path).outputs
    return Content.of(None if outputs is None else outputs.evaluate(plan_scope(state, step.path)))


def sub_plan_limits(state: ExecutionState, step: StepState) -> dict[str, int | None]:
    """What a step has to divide among the steps of its sub-plan; None = no limit."""
    free = state.account(step.account).free
    budget = state.spec_of(step).inner(step.name, step.produced).plan.budget
    limits: dict[str, int | None] = {}
    for dimension in state.spec.limited:
        own, has = getattr(budget, dimension), getattr(free, dimension)
        bounds = [bound for bound in (own, None if has > PLENTY // 2 else max(0, has)) if bound is not None]
        limits[dimension] = min(bounds, default=None)
    return limits
