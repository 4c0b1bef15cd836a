"""The moves that events are made of: small changes of state that several events share.

Everything here is total and pure; `evolve` composes these, and nothing else does.
"""

from __future__ import annotations

from typing import Literal

from immutables import Map
from msgspec.structs import replace

from tenuto.core import agenda as queueing
from tenuto.core.agenda import Agenda, Order
from tenuto.core.budget import Account, Amount
from tenuto.core.content import Content
from tenuto.core.events.step import Failure
from tenuto.core.ids import PREPARING, Position, StepPath, position, split_position
from tenuto.core.ledger import release
from tenuto.core.state import (
    AgentFrame,
    Call,
    ExecutionState,
    ProgramFrame,
    StepState,
    Verdict,
)
from tenuto.core.work import work_of

__all__ = [
    "attend",
    "calls_of",
    "dequeued",
    "drop_call",
    "drop_calls",
    "enqueue",
    "give_verdict",
    "lane_account",
    "open_free",
    "put_step",
    "repeat",
    "vacate",
    "wake",
]


def wake(step: StepState) -> StepState:
    """The step has something to decide."""
    return replace(step, due=True)


def put_step(state: ExecutionState, step: StepState) -> ExecutionState:
    """Keep a changed step, and keep the agenda's head one that is due."""
    path = step.path
    agenda = state.agenda
    if step.due:
        before = state.steps.get(path)
        if before is None or not before.due:
            agenda = queueing.push(agenda, step.order, path)
    steps = state.steps.set(path, step)
    while agenda is not None and not steps[StepPath(agenda.label)].due:
        agenda = queueing.pop(agenda)
    return replace(state, agenda=agenda, steps=steps)


def enqueue(
    state: ExecutionState,
    step: StepState,
    kind: Literal["model", "tool", "person"],
    ordinal: str,
    *,
    ask: bool = False,
) -> ExecutionState:
    """A step wants a call: it waits for a place, first come first served within its group: the
    calls that the same limits hold for, of its agent and of its model's provider.

    A question to a person, and a call for which one must be asked (`ask`), holds no place: it is put at once.
    """
    where = position(step.path, step.attempt, ordinal)
    group = ""
    if kind == "model":
        agent = work_of(state, step).agent_for(step, where)
        if agent.at_once is not None:
            group = f"agent:{agent.agent}"
        provider = agent.model.partition(":")[0]
        if provider in state.spec.lock.at_once:
            group = f"{group} provider:{provider}".lstrip()
    state = put_step(state, replace(step, open_calls=step.open_calls + 1))
    call = Call(
        account=lane_account(step, ordinal),
        group=group,
        kind=kind,
        order=(*step.order, step.attempt, *map(int, ordinal.split("."))),
        path=step.path,
        position=where,
    )
    if ask or kind == "person":
        return attend(state, replace(call, status="unasked"))
    return repeat(state, call)


def open_free(
    state: ExecutionState, kind: Literal["merge", "plan"], where: Position, order: Order, *, try_number: int
) -> ExecutionState:
    """A call that costs nothing, holds no place, and is free to repeat: it is open from its request on."""
    call = Call(
        account="",
        kind=kind,
        order=order,
        path=split_position(where)[0],
        position=where,
        status="open",
        try_number=try_number,
    )
    return replace(
        state,
        attend=tuple(attended for attended in state.attend if attended != where),
        calls=state.calls.set(where, call),
        merges_open=state.merges_open + 1,
    )


def repeat(state: ExecutionState, call: Call) -> ExecutionState:
    """A call, new or again, takes its place at the end of the queue."""
    waiting = queueing.push(state.queue.get(call.group), (state.queued,), call.position)
    return replace(
        state,
        calls=state.calls.set(call.position, call),
        queue=state.queue.set(call.group, waiting),
        queued=state.queued + 1,
    )


def attend(state: ExecutionState, call: Call) -> ExecutionState:
    """A call needs a decision of its own before anything else."""
    return replace(state, attend=(*state.attend, call.position), calls=state.calls.set(call.position, call))


def drop_call(
    state: ExecutionState, call: Call, *, accounts: Map[str, Account] | None = None, spent: Amount | None = None
) -> ExecutionState:
    """A call is over: its place is free again. `accounts` and `spent` are those after it, where it changes them."""
    step = state.steps[call.path]
    group_open, open_calls = _places(state, call)
    return replace(
        state,
        accounts=state.accounts if accounts is None else accounts,
        calls=state.calls.delete(call.position),
        group_open=group_open,
        open_calls=open_calls,
        spent=state.spent if spent is None else spent,
        steps=state.steps.set(call.path, replace(step, open_calls=step.open_calls - 1)),
    )


def calls_of(state: ExecutionState, step: StepState) -> list[Call]:
    """The calls of a step that are not over, in their order: found by what it does now, not among all calls."""
    names = (position(step.path, 0, ordinal) for ordinal in PREPARING)
    found = (state.calls.get(name) for name in (*names, *_asked(step)))
    return sorted((call for call in found if call is not None), key=lambda call: call.order)


def _asked(step: StepState) -> list[Position]:
    """The positions of whatever a step may wait for in its attempt."""
    frame = step.frame
    ordinals: list[str] = ["0"]
    match frame:
        case AgentFrame():
            ordinals = [*(str(frame.base + i) for i in range(frame.started)), str(frame.ordinal)]
        case ProgramFrame():
            ordinals = [*frame.open_asks, *(f"{ordinal}.m" for ordinal in frame.merging)]
        case _:
            pass
    return [position(step.path, step.attempt, ordinal) for ordinal in ordinals]


def drop_calls(state: ExecutionState, path: StepPath) -> ExecutionState:
    """A step is cancelled: nothing of it is wanted any more. Open calls were declared lost before."""
    step = state.steps[path]
    dropped = {call.position: call for call in calls_of(state, step)}
    timers = state.timers
    for timer in (f"{path}/{step.attempt + 1}", *_asked(step)):
        if timer in timers:
            timers = timers.delete(timer)
    state = replace(state, attend=tuple(p for p in state.attend if p not in dropped), timers=timers)
    for call in dropped.values():
        merging = (call.kind in ("merge", "plan") and call.status == "open") or call.asks_tool
        state = replace(
            state,
            accounts=_unreserved(state, call),
            merges_open=state.merges_open - merging,
            parked=state.parked - (call.status == "parked"),
            people=state.people - call.asks_person,
        )
        if call.kind in ("merge", "plan"):
            state = replace(state, calls=state.calls.delete(call.position))
        else:
            state = drop_call(state, call)
    for group in {call.group for call in dropped.values() if call.status == "queued"}:
        state = replace(state, queue=_headed(state, group, state.queue.get(group)))
    return state


def dequeued(state: ExecutionState, call: Call) -> Map[str, Agenda]:
    """The queues without the call at the head of its own."""
    return _headed(state, call.group, queueing.pop(state.queue[call.group]))


def _headed(state: ExecutionState, group: str, waiting: Agenda | None) -> Map[str, Agenda]:
    """The queues, that of a group with a head that still waits. Calls that were dropped further back stay in it."""
    while waiting is not None and waiting.label not in state.calls:
        waiting = queueing.pop(waiting)
    if waiting is not None:
        return state.queue.set(group, waiting)
    return state.queue.delete(group) if group in state.queue else state.queue


def _unreserved(state: ExecutionState, call: Call) -> Map[str, Account]:
    """The accounts without the hold of a call that was never made."""
    account = state.accounts.get(call.account)
    if account is None or call.status != "queued":
        return state.accounts
    return state.accounts.set(call.account, release(account, call.hold))


def vacate(state: ExecutionState, call: Call) -> ExecutionState:
    """An open call gives its place back, though it is not over."""
    group_open, open_calls = _places(state, call)
    return replace(state, group_open=group_open, open_calls=open_calls)


def _places(state: ExecutionState, call: Call) -> tuple[Map[str, int], int]:
    """The places that are taken, of each group and in all, without that of a call."""
    group_open = state.group_open
    if call.status != "open":
        return group_open, state.open_calls
    for limited in call.group.split():
        group_open = group_open.set(limited, group_open[limited] - 1)
    return group_open, state.open_calls - 1


def give_verdict(state: ExecutionState, step: StepState, verdict: Content | Failure) -> ExecutionState:
    """What the attempt comes to; said in a record once no call of it is open."""
    told = step.verdict
    if isinstance(verdict, Failure):
        told = Verdict(failure=verdict)
    elif told is None:
        told = Verdict(output=verdict)
    return put_step(state, replace(step, due=step.open_calls == 0, verdict=told))


def lane_account(step: StepState, ordinal: str) -> str:
    """The account that pays a request of this ordinal: its lane's, or the step's own."""
    prefix = ordinal.rpartition(".")[0]
    return f"{step.path}/{step.attempt}/{prefix}" if prefix else step.account
