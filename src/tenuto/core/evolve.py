"""`evolve(state, event) -> state`: apply a fact. Never refuses, never asks, never looks outside.

One function per kind, found by the event's type; a test holds the table to the closed set of events. Together with
`start` (the state before the first record) this is the whole fold of a journal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from immutables import Map
from msgspec.structs import replace

from tenuto.core import agenda as queueing
from tenuto.core.advances import advance_program
from tenuto.core.budget import NOTHING, Account, add, subtract
from tenuto.core.content import Content
from tenuto.core.events import Event, Input
from tenuto.core.events.budget import BudgetMoved, LanesOpened
from tenuto.core.events.call import (
    CallInDoubt,
    CallLost,
    CallParked,
    CallReconciled,
    CallRefused,
    CallResolved,
    MergeRequested,
    ModelCallFailed,
    ModelCallRequested,
    ModelReplied,
    ToolCallFailed,
    ToolCallRequested,
    ToolReturned,
    TreesMerged,
)
from tenuto.core.events.program import StepAdvanced, TimerFired, TimerSet
from tenuto.core.events.run import RunCancelled, RunEnded, RunExhausted, RunResumed, RunStarted
from tenuto.core.events.step import (
    AttemptFailed,
    Failure,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tenuto.core.frames import after_reply, after_tool, conflict_failure, fail_call
from tenuto.core.ids import Digest, Position, StepPath, split_position
from tenuto.core.ledger import RUN, charge, hold, keep, model_usage, release
from tenuto.core.moves import (
    attend,
    child_outputs,
    drop_call,
    drop_calls,
    enqueue,
    feed,
    finish,
    lane_account,
    put_step,
    repeat,
    settle_program,
    vacate,
    wake,
)
from tenuto.core.scope import foreach_items
from tenuto.core.spec import RunSpec
from tenuto.core.state import (
    AgentFrame,
    Call,
    CommandFrame,
    DoubtfulCall,
    ExecutionState,
    Expansion,
    Gather,
    ProgramFrame,
    StepState,
)
from tenuto.core.work import work_of

__all__ = ["evolve", "start"]


def start(spec: RunSpec) -> ExecutionState:
    """The state before the first record."""
    return ExecutionState(spec=spec)


def evolve(state: ExecutionState, event: Event, *, seq: int, at: int, head: Digest) -> ExecutionState:
    """The state after one more record. `head` is the record's hash; `at` its time."""
    kind = type(event)
    if kind in _INPUTS:
        passed = at - state.at if state.status == "running" and kind is not RunResumed else 0
        state = replace(
            state,
            at=at,
            active_us=state.active_us + max(0, passed),
            fed=(),
            head=head,
            pass_after=None,
            seq=seq,
        )
    else:
        state = replace(state, head=head, seq=seq)
    return _HANDLERS[kind](state, event)


# --- the run as a whole ---------------------------------------------------------------------------------------


def _run_started(state: ExecutionState, event: RunStarted) -> ExecutionState:
    spec = state.spec
    steps: dict[StepPath, StepState] = {}
    due = None
    for i, step in enumerate(spec.plan.steps):
        path = StepPath(step.name)
        missing = len(set(step.needs))
        steps[path] = StepState(
            account=step.name, due=missing == 0, missing=missing, name=step.name, order=(i,), path=path
        )
        if missing == 0:
            due = queueing.push(due, (i,), path)
    limit = event.budget.time_ms
    return replace(
        state,
        accounts=Map({RUN: Account(granted=spec.rest)}) if spec.limited else Map(),
        agenda=due,
        inputs=event.inputs,
        logic=event.logic,
        max_parallel=event.max_parallel,
        run=event.run,
        seed=event.seed,
        status="running",
        steps=Map(steps),
        time_limit_us=None if limit is None else limit * 1000,
        tree=event.tree,
        unfinished=len(steps),
    )


def _run_resumed(state: ExecutionState, event: RunResumed) -> ExecutionState:
    accounts = state.accounts
    if event.add_budget != NOTHING:
        rest = accounts.get(RUN, Account())
        accounts = accounts.set(RUN, replace(rest, granted=add(rest.granted, event.add_budget)))
    limit = state.time_limit_us
    state = replace(
        state,
        accounts=accounts,
        group_open=Map(),
        limits_added=add(state.limits_added, event.add_budget),
        logic=event.logic,
        max_parallel=event.max_parallel,
        merges_open=0,
        open_calls=0,
        status="running" if state.status == "exhausted" else state.status,
        time_limit_us=None if limit is None else limit + event.add_time_ms * 1000,
    )
    for call in sorted((c for c in state.calls.values() if c.status == "open"), key=lambda c: c.order):
        if call.kind == "tool" and call.effect != "once":
            state = repeat(state, replace(call, status="queued", try_number=call.try_number + 1))
        else:
            state = attend(state, replace(call, status="lost"))
    return state


def _run_cancelled(state: ExecutionState, event: RunCancelled) -> ExecutionState:
    return replace(state, status="cancelling", sweep=0, why=event.reason or "cancelled")


def _run_exhausted(state: ExecutionState, event: RunExhausted) -> ExecutionState:
    return replace(state, status="exhausted", why=event.why)


def _run_ended(state: ExecutionState, event: RunEnded) -> ExecutionState:
    return replace(
        state, outputs=event.outputs, result=event.result, status=event.status, tree=event.tree, why=event.error
    )


# --- steps ----------------------------------------------------------------------------------------------------


def _step_started(state: ExecutionState, event: StepStarted) -> ExecutionState:
    step = state.steps.get(event.path)
    if step is None:
        state, step = _new_child(state, event)
    work = work_of(state.spec, step)
    frame = work.frame(event.tree, state.at)
    if event.account is not None and event.attempt == 1:
        state = replace(state, accounts=state.accounts.set(step.account, Account(granted=event.account)))
    step = replace(
        step,
        attempt=event.attempt,
        due=False,
        frame=frame,
        key=event.key,
        keys_seen=Map(),
        out_tree=event.tree,
        status="running",
        tree=event.tree,
        verdict=None,
    )
    state = put_step(state, step)
    if isinstance(frame, ProgramFrame):
        return replace(state, fed=(*state.fed, step.path))
    return enqueue(state, step, "model" if isinstance(frame, AgentFrame) else "tool", "0")


def _new_child(state: ExecutionState, event: StepStarted) -> tuple[ExecutionState, StepState]:
    if event.asked_by is not None:
        return _asked_child(state, event, event.asked_by)
    parent = state.steps[StepPath(event.path[: event.path.rindex("[")])]
    expansion = parent.expansion
    if expansion is None:
        raise AssertionError(f"{event.path} has no expanded parent")
    index = expansion.next_child
    child = StepState(
        account=event.path,
        child_index=index,
        name=parent.name,
        order=(*parent.order, index),
        parent=parent.path,
        path=event.path,
    )
    grown = replace(expansion, next_child=index + 1, running=expansion.running + 1)
    return put_step(state, wake(replace(parent, expansion=grown))), child


def _asked_child(state: ExecutionState, event: StepStarted, asked_by: Position) -> tuple[ExecutionState, StepState]:
    path, attempt, ordinal = split_position(asked_by)
    parent = state.steps[path]
    frame = parent.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{asked_by} is no ask of a program")
    child = StepState(
        account=event.path,
        asked=frame.open_asks[ordinal],
        asked_by=asked_by,
        name=parent.name,
        order=(*parent.order, attempt, *map(int, ordinal.split("."))),
        parent=path,
        path=event.path,
    )
    if event.account is not None:
        asker = lane_account(parent, ordinal)
        account = state.account(asker)
        given = replace(account, granted=subtract(account.granted, event.account))
        state = replace(state, accounts=state.accounts.set(asker, given))
    return settle_program(state, replace(parent, frame=replace(frame, pending=frame.pending[1:]))), child


def _step_expanded(state: ExecutionState, event: StepExpanded) -> ExecutionState:
    step = state.steps[event.path]
    items = foreach_items(state, step)
    if event.share is not None:
        given = event.share
        account = state.account(step.account)
        left = account.granted
        for _ in event.keys:
            left = subtract(left, given)
        state = replace(state, accounts=state.accounts.set(step.account, replace(account, granted=left)))
    expansion = Expansion(items=items, keys=event.keys, share=event.share, unfinished=len(event.keys))
    expanded = replace(step, expansion=expansion, out_tree=event.tree, status="expanded", tree=event.tree)
    return put_step(state, wake(expanded))


def _step_completed(state: ExecutionState, event: StepCompleted) -> ExecutionState:
    step = state.steps[event.path]
    output = step.verdict
    if not isinstance(output, Content):
        output = child_outputs(state, step)
    step = replace(step, leaf=event.leaf, out_tree=event.tree, output=output, status="completed")
    return finish(state, step)


def _step_failed(state: ExecutionState, event: StepFailed) -> ExecutionState:
    step = state.steps[event.path]
    output = step.frame.result if isinstance(step.frame, CommandFrame) else None
    step = replace(
        step, error=event.error, leaf=event.leaf, out_tree=event.tree, output=output, status="failed", tree=event.tree
    )
    state = finish(state, step)
    if step.parent is None and state.spec.step(step.name).on_error == "fail":
        failing = step.order if state.failing is None else min(state.failing, step.order)
        state = replace(state, failing=failing, sweep=failing[0] + 1)
    return state


def _step_skipped(state: ExecutionState, event: StepSkipped) -> ExecutionState:
    step = state.steps[event.path]
    error = Failure(kind="skipped", message=f"skipped because of {event.because}")
    return finish(
        state, replace(step, error=error, leaf=event.leaf, out_tree=event.tree, status="skipped", tree=event.tree)
    )


def _step_cancelled(state: ExecutionState, event: StepCancelled) -> ExecutionState:
    step = state.steps[event.path]
    state = drop_calls(state, event.path)
    if step.parent is None:
        state = replace(state, sweep=step.order[0] + 1)
    error = Failure(kind="cancelled", message="cancelled")
    return finish(state, replace(step, error=error, out_tree=step.tree or state.tree, status="cancelled"))


def _attempt_failed(state: ExecutionState, event: AttemptFailed) -> ExecutionState:
    step = state.steps[event.path]
    step = replace(step, error=event.error, frame=None, out_tree=step.tree, status="backoff", verdict=None)
    return put_step(state, wake(step))


# --- model calls ----------------------------------------------------------------------------------------------


def _model_call_requested(state: ExecutionState, event: ModelCallRequested) -> ExecutionState:
    state, _, step = _opened(state, event)
    frame = step.frame
    if isinstance(frame, AgentFrame):
        frame = (
            replace(frame, iterations=frame.iterations + 1, last_call=event.call, parts=(*frame.parts, *event.parts))
            if event.try_number == 1
            else frame
        )
        step = replace(step, frame=frame)
    if event.try_number == 1:
        step = replace(step, fingerprints=(*step.fingerprints, (event.call, event.fingerprint)))
    return put_step(state, step)


def _opened(
    state: ExecutionState, event: ModelCallRequested | ToolCallRequested
) -> tuple[ExecutionState, Call, StepState]:
    """Take the call out of the queue and give it a place and a hold."""
    call = state.calls[event.call]
    held = call.hold if event.try_number > 1 and call.kind == "tool" else NOTHING
    call = replace(call, hold=event.hold, need=event.hold, status="open", try_number=event.try_number)
    group_open = state.group_open
    if call.group:
        group_open = group_open.set(call.group, group_open.get(call.group, 0) + 1)
    accounts = state.accounts
    account = accounts.get(call.account)
    if account is not None:
        accounts = accounts.set(call.account, hold(account, subtract(event.hold, held)))
    state = replace(
        state,
        accounts=accounts,
        calls=state.calls.set(call.position, call),
        group_open=group_open,
        open_calls=state.open_calls + 1,
        queue=_dequeued(state, call),
    )
    return state, call, state.steps[call.path]


def _dequeued(state: ExecutionState, call: Call) -> Map[str, Any]:
    waiting = queueing.pop(state.queue[call.group])
    return state.queue.delete(call.group) if waiting is None else state.queue.set(call.group, waiting)


def _model_replied(state: ExecutionState, event: ModelReplied) -> ExecutionState:
    call = state.calls[event.call]
    step = state.steps[call.path]
    work = work_of(state.spec, step)
    agent = work.agent_for(step, event.call)
    spent = model_usage(agent, event.usage)
    accounts = state.accounts
    account = accounts.get(call.account)
    if account is not None:
        accounts = accounts.set(call.account, charge(account, call.hold, spent))
    state = drop_call(replace(state, accounts=accounts, spent=add(state.spent, spent)), call)
    return after_reply(state, state.steps[call.path], event)


def _model_call_failed(state: ExecutionState, event: ModelCallFailed) -> ExecutionState:
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


# --- tool calls -----------------------------------------------------------------------------------------------


def _tool_call_requested(state: ExecutionState, event: ToolCallRequested) -> ExecutionState:
    state, call, step = _opened(state, event)
    spec = state.spec.registry.tools.get(event.tool)
    reconcilable = spec is not None and spec.reconcilable
    call = replace(call, effect=event.effect, key=event.key, reconcilable=reconcilable)
    state = replace(state, calls=state.calls.set(call.position, call))
    if event.try_number == 1:
        step = replace(
            step,
            fingerprints=(*step.fingerprints, (event.call, event.fingerprint)),
            keys_seen=step.keys_seen.set(event.fingerprint, step.keys_seen.get(event.fingerprint, 0) + 1),
        )
        state = put_step(state, step)
    if event.answered_by is None:
        return state
    result = step.answers[event.key][1]
    return _tool_answered(state, call, result, status="ok", tree=event.tree)


def _tool_answered(
    state: ExecutionState, call: Call, result: Content, *, status: str, tree: Digest
) -> ExecutionState:
    accounts = state.accounts
    account = accounts.get(call.account)
    if account is not None:
        accounts = accounts.set(call.account, charge(account, call.hold, call.hold))
    state = drop_call(replace(state, accounts=accounts, spent=add(state.spent, call.hold)), call)
    step = state.steps[call.path]
    if call.effect in ("once", "idempotent") and status == "ok" and call.key is not None:
        step = replace(step, answers=step.answers.set(call.key, (call.position, result)))
    return after_tool(state, step, call, result, status=status, tree=tree)


def _tool_returned(state: ExecutionState, event: ToolReturned) -> ExecutionState:
    call = state.calls[event.call]
    return _tool_answered(state, call, event.result, status=event.status, tree=event.tree)


def _tool_call_failed(state: ExecutionState, event: ToolCallFailed) -> ExecutionState:
    call = state.calls[event.call]
    if call.effect == "once":
        return attend(vacate(state, call), replace(call, status="lost"))
    return fail_call(_released(state, call), call, event.error, retryable=event.retryable)


def _call_lost(state: ExecutionState, event: CallLost) -> ExecutionState:
    call = state.calls[event.call]
    state = _kept(state, call)
    if state.attend and state.attend[0] == event.call:
        return repeat(
            replace(state, attend=state.attend[1:]),
            replace(call, hold=NOTHING, status="queued", try_number=call.try_number + 1),
        )
    return drop_call(state, call)


def _call_in_doubt(state: ExecutionState, event: CallInDoubt) -> ExecutionState:
    call = replace(state.calls[event.call], status="doubt")
    return replace(
        state,
        attend=state.attend[1:],
        calls=state.calls.set(call.position, call),
        people=state.people + (event.asks == "person"),
        merges_open=state.merges_open + (event.asks == "tool"),
    )


def _call_reconciled(state: ExecutionState, event: CallReconciled) -> ExecutionState:
    state = replace(state, merges_open=max(0, state.merges_open - 1))
    if event.done is None:
        call = replace(state.calls[event.call], reconcilable=False, status="lost")
        return attend(state, call)
    return _decided(state, event.call, done=event.done, result=event.result)


def _call_resolved(state: ExecutionState, event: CallResolved) -> ExecutionState:
    state = replace(state, people=state.people - 1)
    return _decided(state, event.call, done=event.done, result=event.result)


def _decided(state: ExecutionState, where: Position, *, done: bool, result: Content | None) -> ExecutionState:
    call = state.calls[where]
    if not done:
        return repeat(state, replace(call, status="queued", try_number=call.try_number + 1))
    step = state.steps[call.path]
    state = replace(state, open_calls=state.open_calls + 1)
    tree = step.out_tree or state.tree
    return _tool_answered(state, replace(call, status="open"), result or Content.of(None), status="ok", tree=tree)


# --- budget, merges, programs, timers -------------------------------------------------------------------------


def _call_parked(state: ExecutionState, event: CallParked) -> ExecutionState:
    call = replace(state.calls[event.call], need=event.need, status="parked", try_number=event.try_number)
    return replace(
        state,
        calls=state.calls.set(call.position, call),
        parked=state.parked + 1,
        queue=_dequeued(state, call),
    )


def _call_refused(state: ExecutionState, event: CallRefused) -> ExecutionState:
    call = state.calls[event.call]
    step = state.steps[call.path]
    state = put_step(replace(state, parked=state.parked - 1), replace(step, refusals=(*step.refusals, event.call)))
    error = Failure(call=event.call, kind="budget", message="the budget cannot pay the call's worst case")
    return fail_call(state, call, error, retryable=False)


def _budget_moved(state: ExecutionState, event: BudgetMoved) -> ExecutionState:
    accounts = state.accounts
    total = NOTHING
    for source in event.sources:
        account = state.account(source.account)
        accounts = accounts.set(source.account, replace(account, granted=subtract(account.granted, source.amount)))
        total = add(total, source.amount)
    account = accounts.get(event.to) or state.account(event.to)
    accounts = accounts.set(event.to, replace(account, granted=add(account.granted, total)))
    call = state.calls[event.call]
    state = replace(state, accounts=accounts, parked=state.parked - 1, pass_after=call.order)
    return repeat(state, replace(call, status="queued"))


def _merge_requested(state: ExecutionState, event: MergeRequested) -> ExecutionState:
    path, _, _ = split_position(event.call)
    known = state.steps.get(path)
    call = Call(
        account="",
        kind="merge",
        order=known.order if known is not None else (len(state.spec.plan.steps),),
        path=path,
        position=event.call,
        status="open",
        try_number=event.try_number,
    )
    state = replace(
        state,
        attend=tuple(p for p in state.attend if p != event.call),
        calls=state.calls.set(event.call, call),
        merges_open=state.merges_open + 1,
    )
    if known is None:
        return state
    status = "merging" if known.status == "waiting" else known.status
    return put_step(state, replace(known, due=False, status=status))


def _trees_merged(state: ExecutionState, event: TreesMerged) -> ExecutionState:
    call = state.calls[event.call]
    merged = event.merged
    state = replace(state, calls=state.calls.delete(event.call), merges_open=state.merges_open - 1)
    step = state.steps.get(call.path)
    if step is None:
        why = conflict_failure(merged).message if merged.tree is None else ""
        return replace(state, final_tree=merged.tree or state.tree, why=why)
    if isinstance(step.frame, ProgramFrame):
        return _lanes_merged(state, step, event)
    if merged.tree is None:
        return put_step(state, wake(replace(step, verdict=conflict_failure(merged))))
    if step.status == "expanded":
        return put_step(state, wake(replace(step, out_tree=merged.tree)))
    return put_step(state, wake(replace(step, out_tree=merged.tree, status="ready", tree=merged.tree)))


def _lanes_merged(state: ExecutionState, step: StepState, event: TreesMerged) -> ExecutionState:
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{step.path} is no program")
    if event.merged.tree is None:
        return put_step(state, wake(replace(step, verdict=conflict_failure(event.merged))))
    ordinal, rest = frame.merging[0], frame.merging[1:]
    prefix = ordinal.rpartition(".")[0]
    frame = replace(frame, merging=rest, trees=frame.trees.set(prefix, event.merged.tree))
    if not rest:
        frame = replace(frame, held=(), pending=(*frame.pending, *frame.held))
    out_tree = event.merged.tree if prefix == "" else step.out_tree
    return settle_program(state, replace(step, frame=frame, out_tree=out_tree))


def _lanes_opened(state: ExecutionState, event: LanesOpened) -> ExecutionState:
    path, _, ordinal = split_position(event.call)
    step = state.steps[path]
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{path} is no program")
    prefix = ordinal.rpartition(".")[0]
    tree = frame.trees[prefix]
    trees = frame.trees
    accounts = state.accounts
    for lane in range(event.lanes):
        trees = trees.set(f"{ordinal}.{lane}", tree)
        if event.share is not None:
            accounts = accounts.set(lane_account(step, f"{ordinal}.{lane}.0"), Account(granted=event.share))
    if event.share is not None:
        name = lane_account(step, ordinal)
        account = state.account(name)
        granted = account.granted
        for _ in range(event.lanes):
            granted = subtract(granted, event.share)
        accounts = accounts.set(name, replace(account, granted=granted))
    gathers = frame.gathers.set(ordinal, Gather(lanes=event.lanes, tree=tree))
    frame = replace(frame, gathers=gathers, pending=frame.pending[1:], trees=trees)
    return settle_program(replace(state, accounts=accounts), replace(step, frame=frame))


def _step_advanced(state: ExecutionState, event: StepAdvanced) -> ExecutionState:
    return advance_program(state, state.steps[event.path], event)


def _timer_set(state: ExecutionState, event: TimerSet) -> ExecutionState:
    state = replace(state, timers=state.timers.set(event.timer, event.due_us))
    if event.why == "try":
        return replace(state, attend=tuple(p for p in state.attend if p != event.timer))
    if event.why == "attempt":
        path = StepPath(event.timer.rpartition("/")[0])
        return put_step(state, replace(state.steps[path], due=False))
    path, _, _ = split_position(Position(event.timer))
    step = state.steps[path]
    if not isinstance(step.frame, ProgramFrame):
        raise AssertionError(f"{path} is no program")
    return settle_program(state, replace(step, frame=replace(step.frame, pending=step.frame.pending[1:])))


def _timer_fired(state: ExecutionState, event: TimerFired) -> ExecutionState:
    if event.timer not in state.timers:
        return state
    state = replace(state, timers=state.timers.delete(event.timer))
    call = state.calls.get(Position(event.timer))
    if call is not None:
        return repeat(state, replace(call, status="queued", try_number=call.try_number + 1))
    step = state.steps.get(StepPath(event.timer.rpartition("/")[0]))
    if step is not None and step.status == "backoff":
        return put_step(state, wake(replace(step, status="ready")))
    path, _, ordinal = split_position(Position(event.timer))
    return feed(state, state.steps[path], ordinal, value=Content.of(None))


_HANDLERS: dict[type[Event], Callable[[ExecutionState, Any], ExecutionState]] = {
    AttemptFailed: _attempt_failed,
    BudgetMoved: _budget_moved,
    CallInDoubt: _call_in_doubt,
    CallLost: _call_lost,
    CallParked: _call_parked,
    CallReconciled: _call_reconciled,
    CallRefused: _call_refused,
    CallResolved: _call_resolved,
    LanesOpened: _lanes_opened,
    MergeRequested: _merge_requested,
    ModelCallFailed: _model_call_failed,
    ModelCallRequested: _model_call_requested,
    ModelReplied: _model_replied,
    RunCancelled: _run_cancelled,
    RunEnded: _run_ended,
    RunExhausted: _run_exhausted,
    RunResumed: _run_resumed,
    RunStarted: _run_started,
    StepAdvanced: _step_advanced,
    StepCancelled: _step_cancelled,
    StepCompleted: _step_completed,
    StepExpanded: _step_expanded,
    StepFailed: _step_failed,
    StepSkipped: _step_skipped,
    StepStarted: _step_started,
    TimerFired: _timer_fired,
    TimerSet: _timer_set,
    ToolCallFailed: _tool_call_failed,
    ToolCallRequested: _tool_call_requested,
    ToolReturned: _tool_returned,
    TreesMerged: _trees_merged,
}
_INPUTS = frozenset(Input.__args__)
