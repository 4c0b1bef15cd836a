"""What happens to trees, lanes, programs and timers."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.advances import advance_program, fold_lanes, release_asks, take_conflict, take_tree
from tenuto.core.budget import Account
from tenuto.core.content import Content
from tenuto.core.events.budget import LanesOpened
from tenuto.core.events.call import (
    MergeRequested,
    TreesMerged,
)
from tenuto.core.events.program import StepAdvanced, TimerFired, TimerSet
from tenuto.core.evolve.people import expired
from tenuto.core.frames import conflict_failure
from tenuto.core.ids import MERGED_BELOW, MERGED_NEEDS, SETTLED_MERGE, Position, StepPath, split_position
from tenuto.core.ledger import given
from tenuto.core.moves import give_verdict, lane_account, open_free, put_step, repeat, wake
from tenuto.core.program_moves import feed, settle_program
from tenuto.core.settling import settle_position, waits_for_agent
from tenuto.core.state import (
    ExecutionState,
    Gather,
    ProgramFrame,
    StepState,
    Verdict,
    WaitFrame,
)

__all__ = ["lanes_opened", "merge_requested", "step_advanced", "timer_fired", "timer_set", "trees_merged"]


def merge_requested(state: ExecutionState, event: MergeRequested) -> ExecutionState:
    path, _, _ = split_position(event.call)
    known = state.steps.get(path)
    order = known.order if known is not None else (len(state.spec.plan.steps),)
    state = open_free(state, "merge", event.call, order, try_number=event.try_number)
    if known is None:
        return state
    status = "merging" if known.status == "waiting" else known.status
    return put_step(state, replace(known, due=False, status=status))


def trees_merged(state: ExecutionState, event: TreesMerged) -> ExecutionState:
    call = state.calls[event.call]
    merged = event.merged
    state = replace(state, calls=state.calls.delete(event.call), merges_open=state.merges_open - 1)
    step = state.steps.get(call.path)
    if step is None:
        why = conflict_failure(merged).message if merged.tree is None else ""
        return replace(state, final_tree=merged.tree or state.tree, why=why)
    ordinal = call.position.rpartition("/")[2]
    if ordinal == SETTLED_MERGE:
        ordinal = settle_position(step).rpartition("/")[2]
    elif waits_for_agent(state, step, ordinal, merged):
        return put_step(state, wake(replace(step, settling=merged)))
    if isinstance(step.frame, ProgramFrame) and ordinal.endswith(".m"):
        return _lanes_merged(state, step, event)
    if merged.tree is None:
        return put_step(state, wake(replace(step, settling=None, verdict=Verdict(failure=conflict_failure(merged)))))
    if ordinal == MERGED_NEEDS:
        step = replace(step, out_tree=merged.tree, status="ready", tree=merged.tree, whole=merged.whole)
    elif ordinal == MERGED_BELOW:
        step = replace(step, joined=merged.tree)
    else:
        step = replace(step, out_tree=merged.tree, widened=True)
    return put_step(state, wake(replace(step, settled=None, settling=None)))


def _lanes_merged(state: ExecutionState, step: StepState, event: TreesMerged) -> ExecutionState:
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{step.path} is no program")
    if event.merged.tree is None:
        frame = take_conflict(frame, conflict_failure(event.merged))
    else:
        step, frame = take_tree(step, frame, event.merged.tree)
    step, frame = fold_lanes(step, frame)
    return settle_program(state, replace(step, frame=release_asks(frame)))


def lanes_opened(state: ExecutionState, event: LanesOpened) -> ExecutionState:
    path, _, ordinal = split_position(event.call)
    step = state.steps[path]
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{path} is no program")
    prefix = ordinal.rpartition(".")[0]
    tree = frame.trees[prefix]
    trees = dict(frame.trees)
    accounts = state.accounts
    for lane in range(event.lanes):
        trees[f"{ordinal}.{lane}"] = tree
        if event.share is not None:
            accounts = accounts.set(lane_account(step, f"{ordinal}.{lane}.0"), Account(granted=event.share))
    if event.share is not None:
        name = lane_account(step, ordinal)
        account = state.account(name)
        granted = account.granted
        for _ in range(event.lanes):
            granted = given(granted, event.share)
        accounts = accounts.set(name, replace(account, granted=granted))
    gathers = {**frame.gathers, ordinal: Gather(lanes=event.lanes, tree=tree)}
    frame = replace(frame, gathers=gathers, pending=frame.pending[1:], trees=trees)
    return settle_program(replace(state, accounts=accounts), replace(step, frame=frame))


def step_advanced(state: ExecutionState, event: StepAdvanced) -> ExecutionState:
    return advance_program(state, state.steps[event.path], event)


def timer_set(state: ExecutionState, event: TimerSet) -> ExecutionState:
    state = replace(state, timers=state.timers.set(event.timer, event.due_us))
    if event.why in ("try", "expires"):
        return replace(state, attend=tuple(p for p in state.attend if p != event.timer))
    if event.why == "attempt":
        path = StepPath(event.timer.rpartition("/")[0])
        return put_step(state, replace(state.steps[path], due=False))
    path, _, _ = split_position(Position(event.timer))
    step = state.steps[path]
    if isinstance(step.frame, WaitFrame):
        return put_step(state, replace(step, due=False))
    if not isinstance(step.frame, ProgramFrame):
        raise AssertionError(f"{path} is no program")
    return settle_program(state, replace(step, frame=replace(step.frame, pending=step.frame.pending[1:])))


def timer_fired(state: ExecutionState, event: TimerFired) -> ExecutionState:
    if event.timer not in state.timers:
        return state
    state = replace(state, timers=state.timers.delete(event.timer))
    call = state.calls.get(Position(event.timer))
    if call is not None and call.status == "asked":
        return expired(state, call)
    if call is not None:
        return repeat(state, replace(call, status="queued", try_number=call.try_number + 1))
    step = state.steps.get(StepPath(event.timer.rpartition("/")[0]))
    if step is not None and step.status == "backoff":
        return put_step(state, wake(replace(step, status="ready")))
    path, _, ordinal = split_position(Position(event.timer))
    step = state.steps[path]
    if isinstance(step.frame, WaitFrame):
        return give_verdict(state, step, Content.of(None))
    return feed(state, step, ordinal, value=Content.of(None))
