"""What happens to sub-plans that an earlier step has produced."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.events.plan import PlanLoaded, PlanRequested
from tenuto.core.events.step import Failure
from tenuto.core.ids import split_position
from tenuto.core.moves import open_free, put_step, wake
from tenuto.core.state import ExecutionState, Verdict
from tenuto.core.step_moves import contained_child

__all__ = ["plan_loaded", "plan_requested"]


def plan_requested(state: ExecutionState, event: PlanRequested) -> ExecutionState:
    path, _, _ = split_position(event.call)
    if path not in state.steps:
        state, child = contained_child(state, path, event.tree)
        state = put_step(state, child)
    step = state.steps[path]
    state = open_free(state, "plan", event.call, step.order, try_number=event.try_number)
    return put_step(state, replace(step, due=False, status="merging", tree=event.tree))


def plan_loaded(state: ExecutionState, event: PlanLoaded) -> ExecutionState:
    call = state.calls[event.call]
    state = replace(state, calls=state.calls.delete(event.call), merges_open=state.merges_open - 1)
    step = state.steps[call.path]
    if event.plan is None:
        failure = Failure(call=event.call, kind="plan", message="; ".join(event.errors))
        return put_step(state, wake(replace(step, verdict=Verdict(failure=failure))))
    return put_step(state, wake(replace(step, produced=event.plan, status="ready")))
