"""What happens to accounts: calls are parked, paid by others, refused."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.budget import NOTHING, add, subtract
from tenuto.core.events.budget import BudgetMoved
from tenuto.core.events.call import (
    CallParked,
    CallRefused,
)
from tenuto.core.events.step import (
    Failure,
)
from tenuto.core.frames import fail_call
from tenuto.core.ledger import hold
from tenuto.core.moves import dequeued, put_step, repeat
from tenuto.core.state import (
    ExecutionState,
)

__all__ = ["budget_moved", "call_parked", "call_refused"]


def call_parked(state: ExecutionState, event: CallParked) -> ExecutionState:
    call = replace(state.calls[event.call], need=event.need, status="parked", try_number=event.try_number)
    return replace(
        state,
        calls=state.calls.set(call.position, call),
        parked=state.parked + 1,
        queue=dequeued(state, call),
    )


def call_refused(state: ExecutionState, event: CallRefused) -> ExecutionState:
    call = state.calls[event.call]
    step = state.steps[call.path]
    state = put_step(
        replace(state, parked=state.parked - 1, refusing=True), replace(step, refusals=(*step.refusals, event.call))
    )
    error = Failure(call=event.call, kind="budget", message="the budget cannot pay the call's worst case")
    return fail_call(state, call, error, retryable=False)


def budget_moved(state: ExecutionState, event: BudgetMoved) -> ExecutionState:
    accounts = state.accounts
    total = NOTHING
    for source in event.sources:
        account = state.account(source.account)
        accounts = accounts.set(source.account, replace(account, granted=subtract(account.granted, source.amount)))
        total = add(total, source.amount)
    account = accounts.get(event.to) or state.account(event.to)
    call = state.calls[event.call]
    # Held from here on, though the call may still wait for a place: nobody else is paid with it.
    paid = hold(replace(account, granted=add(account.granted, total)), subtract(call.need, call.hold))
    state = replace(state, accounts=accounts.set(event.to, paid), parked=state.parked - 1, pass_after=call.order)
    return repeat(state, replace(call, hold=call.need, status="queued"))
