"""Moves of programs: what they are told, the calls they asked for, the accounts of their lanes."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from tenuto.core.budget import subtract
from tenuto.core.content import Content
from tenuto.core.events.program import AskAgent, AskModel, AskPerson, AskTool, OpenLanes
from tenuto.core.events.step import Failure
from tenuto.core.ids import position
from tenuto.core.ledger import returned
from tenuto.core.moves import enqueue, put_step
from tenuto.core.permissions import needs_approval
from tenuto.core.state import (
    ExecutionState,
    Fed,
    ProgramFrame,
    StepState,
    Verdict,
)

__all__ = ["close_account", "feed", "place", "settle_program"]


def feed(
    state: ExecutionState,
    step: StepState,
    ordinal: str,
    *,
    value: Content | None = None,
    failure: Failure | None = None,
) -> ExecutionState:
    """Tell a program the outcome of one of its requests. The shell will advance it."""
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        return state
    told = Fed(at=state.at, failure=failure, ordinal=ordinal, value=value)
    open_asks = {o: a for o, a in frame.open_asks.items() if o != ordinal}
    frame = replace(frame, fed=(*frame.fed, told), open_asks=open_asks)
    state = put_step(state, replace(step, frame=frame))
    return replace(state, fed=(*state.fed, step.path))


def close_account(state: ExecutionState, name: str, into: str) -> ExecutionState:
    """What an account has left goes back to where it came from."""
    account = state.accounts.get(name)
    if account is None:
        return state
    rest = account.free
    target = state.account(into)
    accounts = state.accounts.set(name, replace(account, granted=subtract(account.granted, rest)))
    return replace(state, accounts=accounts.set(into, replace(target, granted=returned(target.granted, rest))))


def place(ordinal: str) -> tuple[int, ...]:
    """Where an ordinal stands among those of its program."""
    return tuple(map(int, ordinal.split(".")))


def settle_program(state: ExecutionState, step: StepState) -> ExecutionState:
    """Queue the calls a program asked for, up to the first ask that needs a record of its own."""
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{step.path} is no program")
    waiting = list(frame.pending)
    open_asks = dict(frame.open_asks)
    ready: list[tuple[Literal["model", "tool", "person"], str, bool]] = []
    unknown: list[tuple[str, str]] = []
    while waiting:
        ask = waiting[0]
        agent = ask.agent if isinstance(ask, (AskModel, AskAgent)) else None
        if agent is not None and agent not in state.spec.registry.agents:
            unknown.append((ask.ordinal, agent))
        elif isinstance(ask, AskModel):
            ready.append(("model", ask.ordinal, False))
        elif isinstance(ask, AskTool):
            ready.append(("tool", ask.ordinal, needs_approval(state, step, ask.tool)))
        elif isinstance(ask, AskPerson):
            ready.append(("person", ask.ordinal, True))
        else:
            break
        waiting.pop(0)
    for ask in frame.pending:
        open_asks[ask.ordinal] = ask
    frame = replace(frame, open_asks=open_asks, pending=tuple(waiting))
    under_way = frame.merging or any(not isinstance(ask, OpenLanes) for ask in open_asks.values())
    if frame.conflicts and not under_way and not waiting:
        # Every other lane has come to its end: which conflict is told does not depend on who was first.
        step = replace(step, verdict=Verdict(failure=frame.conflicts[min(frame.conflicts, key=place)]))
    if frame.merging:
        due = position(step.path, step.attempt, f"{frame.merging[0]}.m") not in state.calls
    else:
        due = bool(waiting) or (step.verdict is not None and step.open_calls + len(ready) == 0)
    state = put_step(state, replace(step, due=due, frame=frame))
    for kind, ordinal, asked in ready:
        state = enqueue(state, state.steps[step.path], kind, ordinal, ask=asked)
    for ordinal, agent in unknown:
        error = Failure(kind="agent", message=f"the run knows no agent {agent!r}")
        state = feed(state, state.steps[step.path], ordinal, failure=error)
    return state
