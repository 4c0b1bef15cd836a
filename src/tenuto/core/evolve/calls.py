"""What happens to calls: they get a place, an outcome, or none."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.budget import NOTHING, add, shortfall, subtract
from tenuto.core.calls import tree_of
from tenuto.core.content import Content
from tenuto.core.events.call import (
    CallInDoubt,
    CallLost,
    CallReconciled,
    CallResolved,
    ModelCallFailed,
    ModelCallRequested,
    ModelReplied,
    ToolCallFailed,
    ToolCallRequested,
    ToolReturned,
)
from tenuto.core.frames import after_reply, after_tool, fail_call
from tenuto.core.ids import Digest, Position
from tenuto.core.ledger import charge, hold, keep, model_usage, release
from tenuto.core.moves import attend, dequeued, drop_call, repeat, vacate
from tenuto.core.state import (
    AgentFrame,
    Call,
    DoubtfulCall,
    ExecutionState,
    StepState,
)
from tenuto.core.work import work_of

__all__ = [
    "call_in_doubt",
    "call_lost",
    "call_reconciled",
    "call_resolved",
    "model_call_failed",
    "model_call_requested",
    "model_replied",
    "tool_call_failed",
    "tool_call_requested",
    "tool_returned",
]


def model_call_requested(state: ExecutionState, event: ModelCallRequested) -> ExecutionState:
    call = state.calls[event.call]
    step = state.steps[call.path]
    if event.try_number > 1:
        return _opened(state, event, call, replace(step, model_config=event.config))
    frame = step.frame
    if isinstance(frame, AgentFrame):
        frame = replace(
            frame, iterations=frame.iterations + 1, last_call=event.call, parts=(*frame.parts, *event.parts)
        )
    fingerprints = (*step.fingerprints, (event.call, event.fingerprint))
    return _opened(
        state, event, call, replace(step, fingerprints=fingerprints, frame=frame, model_config=event.config)
    )


def _opened(
    state: ExecutionState, event: ModelCallRequested | ToolCallRequested, call: Call, step: StepState
) -> ExecutionState:
    """Take the call out of the queue, give it a place and a hold, and keep its changed step, due or not as it was."""
    group_open = state.group_open
    for limited in call.group.split():
        group_open = group_open.set(limited, group_open.get(limited, 0) + 1)
    accounts = state.accounts
    account = accounts.get(call.account)
    if account is not None:
        more = subtract(event.hold, call.hold)
        lack = shortfall(more, account.free, state.spec.limited)
        if lack != NOTHING:
            raise AssertionError(f"{event.call} holds more than its account has free, by {lack}")
        accounts = accounts.set(call.account, hold(account, more))
    opened = replace(call, hold=event.hold, need=event.hold, status="open", try_number=event.try_number)
    return replace(
        state,
        accounts=accounts,
        calls=state.calls.set(call.position, opened),
        group_open=group_open,
        open_calls=state.open_calls + 1,
        queue=dequeued(state, call),
        steps=state.steps.set(step.path, step),
    )


def model_replied(state: ExecutionState, event: ModelReplied) -> ExecutionState:
    call = state.calls[event.call]
    step = state.steps[call.path]
    work = work_of(state, step)
    agent = work.agent_for(step, event.call)
    spent = model_usage(agent, event.usage)
    accounts = state.accounts
    account = accounts.get(call.account)
    if account is not None:
        accounts = accounts.set(call.account, charge(account, call.hold, spent))
    state = drop_call(state, call, accounts=accounts, spent=add(state.spent, spent))
    return after_reply(state, state.steps[call.path], event)


def model_call_failed(state: ExecutionState, event: ModelCallFailed) -> ExecutionState:
    call = state.calls[event.call]
    state = _kept(state, call) if event.kept else _released(state, call)
    return fail_call(state, call, event.error, retryable=event.retryable, retry_after_ms=event.retry_after_ms or 0)


def _kept(state: ExecutionState, call: Call) -> ExecutionState:
    doubtful = DoubtfulCall(amount=call.hold, call=call.position, try_number=call.try_number)
    accounts = state.accounts
    account = accounts.get(call.account)
    if account is not None:
        accounts = accounts.set(call.account, keep(account, call.hold))
    return replace(
        state,
        accounts=accounts,
        doubtful=(*state.doubtful, doubtful),
        in_doubt=add(state.in_doubt, call.hold),
        spent=add(state.spent, call.hold),
    )


def _released(state: ExecutionState, call: Call) -> ExecutionState:
    account = state.accounts.get(call.account)
    if account is None:
        return state
    return replace(state, accounts=state.accounts.set(call.account, release(account, call.hold)))


def tool_call_requested(state: ExecutionState, event: ToolCallRequested) -> ExecutionState:
    call = state.calls[event.call]
    step = state.steps[call.path]
    spec = state.spec.registry.tools.get(event.tool)
    reconcilable = spec is not None and spec.reconcilable
    if event.try_number == 1:
        step = replace(
            step,
            fingerprints=(*step.fingerprints, (event.call, event.fingerprint)),
            keys_seen={**step.keys_seen, event.fingerprint: step.keys_seen.get(event.fingerprint, 0) + 1},
        )
    call = replace(call, effect=event.effect, key=event.key, reconcilable=reconcilable)
    state = _opened(state, event, call, step)
    if event.answered_by is None:
        return state
    result = step.answers[event.key][1]
    return _tool_answered(state, state.calls[event.call], result, status="ok", tree=event.tree)


def _tool_answered(
    state: ExecutionState, call: Call, result: Content, *, status: str, tree: Digest, violations: tuple[str, ...] = ()
) -> ExecutionState:
    state = drop_call(_charged(state, call), call)
    step = state.steps[call.path]
    if call.effect in ("once", "idempotent") and status == "ok" and call.key is not None:
        step = replace(step, answers={**step.answers, call.key: (call.position, result)})
    return after_tool(state, step, call, result, status=status, tree=tree, violations=violations)


def tool_returned(state: ExecutionState, event: ToolReturned) -> ExecutionState:
    call = state.calls[event.call]
    return _tool_answered(
        state, call, event.result, status=event.status, tree=event.tree, violations=event.violations
    )


def tool_call_failed(state: ExecutionState, event: ToolCallFailed) -> ExecutionState:
    call = state.calls[event.call]
    tries = state.compiled(state.steps[call.path]).retry.tries
    is_last = not (event.retryable and call.failures + 1 < tries)
    if call.effect == "once" or (call.effect == "idempotent" and is_last):
        # It may have had its effect outside: that is doubt, not failure.
        return attend(vacate(state, call), replace(call, status="lost"))
    # All tries of a tool call count as one: it keeps its hold until it is over.
    if is_last:
        state = _charged(state, call)
    return fail_call(state, call, event.error, retryable=event.retryable)


def _charged(state: ExecutionState, call: Call) -> ExecutionState:
    """A tool call is over: what it held is what it cost."""
    accounts = state.accounts
    account = accounts.get(call.account)
    if account is not None:
        accounts = accounts.set(call.account, charge(account, call.hold, call.hold))
    return replace(state, accounts=accounts, spent=add(state.spent, call.hold))


def call_lost(state: ExecutionState, event: CallLost) -> ExecutionState:
    call = state.calls[event.call]
    state = _kept(state, call)
    state = replace(state, merges_open=state.merges_open - call.asks_tool, people=state.people - call.asks_person)
    if state.attend and state.attend[0] == event.call:
        return repeat(
            replace(state, attend=state.attend[1:]),
            replace(call, hold=NOTHING, status="queued", try_number=call.try_number + 1),
        )
    return drop_call(replace(state, attend=tuple(p for p in state.attend if p != event.call)), call)


def call_in_doubt(state: ExecutionState, event: CallInDoubt) -> ExecutionState:
    call = replace(state.calls[event.call], status="doubt")
    return replace(
        state,
        attend=state.attend[1:],
        calls=state.calls.set(call.position, call),
        people=state.people + (event.asks == "person"),
        merges_open=state.merges_open + (event.asks == "tool"),
    )


def call_reconciled(state: ExecutionState, event: CallReconciled) -> ExecutionState:
    state = replace(state, merges_open=max(0, state.merges_open - 1))
    if event.done is None:
        call = replace(state.calls[event.call], reconcilable=False, status="lost")
        return attend(state, call)
    return _decided(state, event.call, done=event.done, result=event.result)


def call_resolved(state: ExecutionState, event: CallResolved) -> ExecutionState:
    state = replace(state, people=state.people - 1)
    return _decided(state, event.call, done=event.done, result=event.result)


def _decided(state: ExecutionState, where: Position, *, done: bool, result: Content | None) -> ExecutionState:
    call = state.calls[where]
    if not done:
        return repeat(state, replace(call, status="queued", try_number=call.try_number + 1))
    step = state.steps[call.path]
    tree = tree_of(state, step, call)
    return _tool_answered(state, call, result or Content.of(None), status="ok", tree=tree)
