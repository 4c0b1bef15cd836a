"""Ending steps that nobody wants any more: children before parents, open calls lost before their step ends."""

from __future__ import annotations

from tenuto.core.budget import NOTHING
from tenuto.core.commands import Command, Conclude
from tenuto.core.events.call import CallLost
from tenuto.core.events.step import StepCancelled
from tenuto.core.state import ExecutionState, PlanFrame, ProgramFrame, StepState

__all__ = ["cancel_step"]


def cancel_step(state: ExecutionState, step: StepState) -> Command:
    """The next record towards the cancellation of a step: its deepest first unfinished child comes first."""
    command = _clear(state, step)
    return Conclude(StepCancelled(path=step.path)) if command is None else command


def _clear(state: ExecutionState, step: StepState) -> Command | None:
    """The next record that ends something below a step or a call of its own; None = nothing of it is under way."""
    child = _first_child(state, step)
    if child is not None:
        return cancel_step(state, child)
    if not step.open_calls:
        return None
    for call in sorted((c for c in state.calls.values() if c.path == step.path), key=lambda c: c.order):
        if call.status in ("open", "lost", "backoff", "doubt") and call.kind != "merge" and call.hold != NOTHING:
            return Conclude(CallLost(call=call.position, kept=call.hold, try_number=call.try_number))
    return None


def _first_child(state: ExecutionState, step: StepState) -> StepState | None:
    contains = step.expansion is not None or step.loop is not None or step.settling is not None
    if not contains and not isinstance(step.frame, (PlanFrame, ProgramFrame)):
        return None
    children = [s for s in state.steps.values() if s.parent == step.path and not s.ended]
    return min(children, key=lambda s: s.order) if children else None
