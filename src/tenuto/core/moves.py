"""The moves that events are made of: small changes of state that several events share.

Everything here is total and pure; `evolve` composes these, and nothing else does.
"""

from __future__ import annotations

from typing import Literal

from immutables import Map
from msgspec.structs import replace

from tenuto.core import agenda as queueing
from tenuto.core.agenda import Order
from tenuto.core.budget import Account, Amount
from tenuto.core.content import Content
from tenuto.core.events.step import Failure
from tenuto.core.ids import Position, StepPath, position, split_position
from tenuto.core.ledger import release
from tenuto.core.state import (
    Call,
    ExecutionState,
    StepState,
    Verdict,
)
from tenuto.core.work import work_of

__all__ = [
    "attend",
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
    """A step wants a call: it waits for a place, first come first served within its agent's group.

    A question to a person, and a call for which one must be asked (`ask`), holds no place: it is put at once.
    """
    where = position(step.path, step.attempt, ordinal)
    group = ""
    if kind == "model":
        agent = work_of(state, step).agent_for(step, where)
        if agent.at_once is not None:
            group = f"agent:{agent.agent}"
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


def drop_calls(state: ExecutionState, path: StepPath) -> ExecutionState:
    """A step is cancelled: nothing of it is wanted any more. Open calls were declared lost before."""
    dropped = {p: c for p, c in state.calls.items() if c.path == path}
    timers = state.timers
    for timer in state.timers:
        if timer.rpartition("/")[0] == path or timer.rsplit("/", 2)[0] == path:
            timers = timers.delete(timer)
    state = replace(state, attend=tuple(p for p in state.attend if p not in dropped), timers=timers)
    for group in {c.group for c in dropped.values() if c.status == "queued"}:
        kept = None
        waiting = state.queue.get(group)
        while waiting is not None:
            if waiting.label not in dropped:
                kept = queueing.push(kept, waiting.order, waiting.label)
            waiting = queueing.pop(waiting)
        state = replace(state, queue=state.queue.delete(group) if kept is None else state.queue.set(group, kept))
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
    return state


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
    if call.group:
        group_open = group_open.set(call.group, group_open[call.group] - 1)
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
