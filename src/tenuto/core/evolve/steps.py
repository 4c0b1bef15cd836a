"""What happens to steps: they start, expand, and end."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.budget import Account
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
from tenuto.core.ids import Position, StepPath, split_position
from tenuto.core.ledger import given
from tenuto.core.moves import (
    child_outputs,
    drop_calls,
    enqueue,
    finish,
    lane_account,
    put_step,
    settle_program,
    wake,
    wake_expanded,
)
from tenuto.core.scope import foreach_items
from tenuto.core.state import (
    AgentFrame,
    CommandFrame,
    ExecutionState,
    Expansion,
    ProgramFrame,
    StepState,
)
from tenuto.core.work import work_of

__all__ = [
    "attempt_failed",
    "step_cancelled",
    "step_completed",
    "step_expanded",
    "step_failed",
    "step_skipped",
    "step_started",
]


def step_started(state: ExecutionState, event: StepStarted) -> ExecutionState:
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
        keys_seen={},
        out_tree=event.tree,
        status="running",
        tree=event.tree,
        verdict=None,
    )
    if isinstance(frame, ProgramFrame):
        state = put_step(state, step)
        return replace(state, fed=(*state.fed, step.path))
    return enqueue(state, step, "model" if isinstance(frame, AgentFrame) else "tool", "0")


def _new_child(state: ExecutionState, event: StepStarted) -> tuple[ExecutionState, StepState]:
    if event.asked_by is not None:
        return _asked_child(state, event, event.asked_by)
    return _expanded_child(state, event.path)


def _expanded_child(state: ExecutionState, path: StepPath) -> tuple[ExecutionState, StepState]:
    parent = state.steps[StepPath(path[: path.rindex("[")])]
    expansion = parent.expansion
    if expansion is None:
        raise AssertionError(f"{path} has no expanded parent")
    index = expansion.next_child
    child = StepState(
        account=path,
        child_index=index,
        name=parent.name,
        order=(*parent.order, index),
        parent=parent.path,
        path=path,
    )
    grown = replace(expansion, next_child=index + 1, running=expansion.running + 1)
    return put_step(state, wake_expanded(state, replace(parent, expansion=grown))), child


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
        rest = replace(account, granted=given(account.granted, event.account))
        state = replace(state, accounts=state.accounts.set(asker, rest))
    return settle_program(state, replace(parent, frame=replace(frame, pending=frame.pending[1:]))), child


def step_expanded(state: ExecutionState, event: StepExpanded) -> ExecutionState:
    step = state.steps[event.path]
    items = foreach_items(state, step)
    if event.share is not None:
        account = state.account(step.account)
        left = account.granted
        with state.accounts.mutate() as accounts:
            for key in event.keys:
                left = given(left, event.share)
                accounts[f"{event.path}[{key}]"] = Account(granted=event.share)
            accounts[step.account] = replace(account, granted=left)
            state = replace(state, accounts=accounts.finish())
    expansion = Expansion(items=items, keys=event.keys, share=event.share, unfinished=len(event.keys))
    expanded = replace(step, expansion=expansion, out_tree=event.tree, status="expanded", tree=event.tree)
    return put_step(state, wake(expanded))


def step_completed(state: ExecutionState, event: StepCompleted) -> ExecutionState:
    step = state.steps[event.path]
    output = None if step.verdict is None else step.verdict.output
    if output is None:
        output = child_outputs(state, step)
    step = replace(
        step,
        due=False,
        frame=None,
        leaf=event.leaf,
        out_tree=event.tree,
        output=output,
        status="completed",
        verdict=None,
    )
    return finish(state, step)


def step_failed(state: ExecutionState, event: StepFailed) -> ExecutionState:
    step = state.steps.get(event.path)
    if step is None:
        state, step = _expanded_child(state, event.path)
    elif step.open_calls:
        state = drop_calls(state, event.path)
        step = state.steps[event.path]
    output = step.frame.result if isinstance(step.frame, CommandFrame) else None
    step = replace(
        step,
        due=False,
        error=event.error,
        frame=None,
        leaf=event.leaf,
        out_tree=event.tree,
        output=output,
        status="failed",
        tree=event.tree,
        verdict=None,
    )
    state = finish(state, step)
    if step.parent is None and state.spec.step(step.name).on_error == "fail":
        failing = step.order if state.failing is None else min(state.failing, step.order)
        state = replace(state, failing=failing, sweep=failing[0] + 1)
    return state


def step_skipped(state: ExecutionState, event: StepSkipped) -> ExecutionState:
    step = state.steps[event.path]
    error = Failure(kind="skipped", message=f"skipped because of {event.because}")
    step = replace(
        step,
        due=False,
        error=error,
        frame=None,
        leaf=event.leaf,
        out_tree=event.tree,
        status="skipped",
        tree=event.tree,
        verdict=None,
    )
    return finish(state, step)


def step_cancelled(state: ExecutionState, event: StepCancelled) -> ExecutionState:
    step = state.steps[event.path]
    state = drop_calls(state, event.path)
    if step.parent is None:
        state = replace(state, sweep=step.order[0] + 1)
    error = Failure(kind="cancelled", message="cancelled")
    step = replace(
        step,
        due=False,
        error=error,
        frame=None,
        out_tree=step.tree or state.tree,
        status="cancelled",
        verdict=None,
    )
    return finish(state, step)


def attempt_failed(state: ExecutionState, event: AttemptFailed) -> ExecutionState:
    step = state.steps[event.path]
    step = replace(step, error=event.error, frame=None, out_tree=step.tree, status="backoff", verdict=None)
    return put_step(state, wake(step))
