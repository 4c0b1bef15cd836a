"""What a fork would do: its kernel is run as far as it goes without asking a model, a tool or a person."""

from __future__ import annotations

from collections import deque

from tenuto.core.commands import Command, LoadPlan, MergeTrees
from tenuto.core.events.run import RunForked
from tenuto.core.state import ExecutionState
from tenuto.core.turn import take
from tenuto.runtime.perform import Effects

__all__ = ["foreseen"]


async def foreseen(state: ExecutionState, first: RunForked, effects: Effects, *, at: int) -> ExecutionState:
    """The state after the first turn and all merges and produced plans that follow from it. Nothing is recorded."""
    turn = take(state, first, at=at)
    state = turn.state
    waiting: deque[Command] = deque(turn.commands)
    while waiting:
        command = waiting.popleft()
        match command:
            case MergeTrees():
                turn = take(state, await effects.merge(command), at=at)
            case LoadPlan():
                turn = take(state, await effects.load_plan(state, command), at=at)
            case _:
                continue
        state = turn.state
        waiting.extend(turn.commands)
    return state
