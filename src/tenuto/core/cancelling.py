"""Ending steps that nobody wants any more: children before parents, open calls lost before their step ends."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from tenuto.core.budget import NOTHING
from tenuto.core.commands import Command, Conclude
from tenuto.core.events.call import CallLost
from tenuto.core.events.step import StepCancelled
from tenuto.core.ids import StepPath, iteration_path, position
from tenuto.core.moves import calls_of
from tenuto.core.settling import settle_position
from tenuto.core.state import ExecutionState, PlanFrame, ProgramFrame, StepState
from tenuto.core.step_moves import unwanted_child, unwanted_member

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
    for call in calls_of(state, step):
        if call.status in ("open", "lost", "backoff", "doubt") and call.kind != "merge" and call.hold != NOTHING:
            return Conclude(CallLost(call=call.position, kept=call.hold, try_number=call.try_number))
    return None


def _first_child(state: ExecutionState, step: StepState) -> StepState | None:
    """An unfinished step below this one: the next in order after the one that was cancelled last, else the first."""
    if step.settling is not None:
        return _unfinished(state, [settle_position(step)])
    if step.expansion is not None:
        again = replace(step, expansion=replace(step.expansion, sweep=0))
        return unwanted_child(state, step, all_of_them=True) or unwanted_child(state, again, all_of_them=True)
    if step.loop is not None:
        return _unfinished(state, [iteration_path(step.path, step.loop.begun)])
    match step.frame:
        case PlanFrame():
            if not state.blocks[step.path].unfinished:
                return None
            found = unwanted_member(state, step.path, all_of_them=True)
            return found or next(member for member in state.members(step.path) if not member.ended)
        case ProgramFrame(open_asks=asks):
            return _unfinished(state, [position(step.path, step.attempt, ordinal) for ordinal in asks])
        case _:
            return None


def _unfinished(state: ExecutionState, paths: Iterable[str]) -> StepState | None:
    steps = (state.steps.get(StepPath(path)) for path in paths)
    return min((s for s in steps if s is not None and not s.ended), key=lambda s: s.order, default=None)
