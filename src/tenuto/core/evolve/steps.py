"""What happens to steps: they start, expand, and end."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.attempts import agent_used_up
from tenuto.core.budget import Account, Amount
from tenuto.core.containers import last_iteration, outcome_of, sub_plan_inputs, sub_plan_limits
from tenuto.core.content import Content
from tenuto.core.events.program import Ask
from tenuto.core.events.step import (
    AttemptFailed,
    Failure,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepReused,
    StepSkipped,
    StepStarted,
)
from tenuto.core.ids import Digest, Position, StepPath, child_path, member_path, split_position
from tenuto.core.ledger import given
from tenuto.core.moves import drop_calls, enqueue, lane_account, put_step, wake
from tenuto.core.permissions import repeated_call
from tenuto.core.program_moves import settle_program
from tenuto.core.scope import foreach_items
from tenuto.core.settling import settle_ask
from tenuto.core.state import (
    AgentFrame,
    Block,
    CommandFrame,
    ExecutionState,
    Expansion,
    PersonFrame,
    PlanFrame,
    ProgramFrame,
    StepState,
    WaitFrame,
)
from tenuto.core.step_moves import contained_child, finish, open_block
from tenuto.core.work import new_frame

__all__ = [
    "attempt_failed",
    "step_cancelled",
    "step_completed",
    "step_expanded",
    "step_failed",
    "step_reused",
    "step_skipped",
    "step_started",
]


def step_started(state: ExecutionState, event: StepStarted) -> ExecutionState:
    step = state.steps.get(event.path)
    if step is None:
        state, step = _new_child(state, event, event.tree, event.account)
    frame = new_frame(state, step, event.tree)
    if event.account is not None and event.attempt == 1:
        state = replace(state, accounts=state.accounts.set(step.account, Account(granted=event.account)))
    step = replace(
        step,
        attempt=event.attempt,
        due=isinstance(frame, WaitFrame),
        frame=frame,
        key=event.key,
        keys_seen={},
        out_tree=event.tree,
        status="running",
        tree=event.tree,
        verdict=None,
    )
    match frame:
        case AgentFrame():
            return enqueue(state, step, "model", "0")
        case CommandFrame():
            return enqueue(state, step, "tool", "0", ask=repeated_call(state, step, "run") is not None)
        case ProgramFrame():
            state = put_step(state, step)
            return replace(state, fed=(*state.fed, step.path))
        case PersonFrame():
            return enqueue(state, step, "person", "0")
        case PlanFrame():
            return _open_sub_plan(put_step(state, step), step, event.tree)
        case WaitFrame():
            return put_step(state, step)


def _open_sub_plan(state: ExecutionState, step: StepState, tree: Digest) -> ExecutionState:
    """A step's sub-plan begins: what the step has is divided among the steps of the plan, by the plan alone."""
    spec = state.spec_of(step).inner(step.name, step.produced)
    block = Block(
        inputs=Content.of(sub_plan_inputs(state, step)),
        produced=step.produced,
        tree=tree,
        unfinished=len(spec.plan.steps),
    )
    state = open_block(state, step.path, block, step.order)
    if not state.spec.limited:
        return state
    account = state.account(step.account)
    left = account.granted
    shares: dict[str, Account] = {}
    for inner, share in zip(spec.plan.steps, spec.divided(sub_plan_limits(state, step)), strict=True):
        left = given(left, share)
        shares[member_path(step.path, inner.name)] = Account(granted=share)
    shares[step.account] = replace(account, granted=left)
    return replace(state, accounts=state.accounts.update(shares))


def _new_child(
    state: ExecutionState, event: StepStarted | StepReused, tree: Digest, account: Amount | None
) -> tuple[ExecutionState, StepState]:
    if event.asked_by is not None:
        return _asked_child(state, event.path, event.asked_by, account)
    return contained_child(state, event.path, tree)


def _asked_child(
    state: ExecutionState, own_path: StepPath, asked_by: Position, granted: Amount | None
) -> tuple[ExecutionState, StepState]:
    path, attempt, ordinal = split_position(asked_by)
    parent = state.steps[path]
    frame = parent.frame
    if parent.settling is not None:
        asked: Ask = settle_ask(state, parent)
    elif isinstance(frame, ProgramFrame):
        asked = frame.open_asks[ordinal]
    else:
        raise AssertionError(f"{asked_by} is no ask of a program")
    child = StepState(
        account=own_path,
        asked=asked,
        asked_by=asked_by,
        block=parent.block,
        name=parent.name,
        order=(*parent.order, attempt, *map(int, ordinal.split("."))),
        parent=path,
        path=own_path,
    )
    if granted is not None:
        asker = lane_account(parent, ordinal)
        account = state.account(asker)
        rest = replace(account, granted=given(account.granted, granted))
        state = replace(state, accounts=state.accounts.set(asker, rest))
    if not isinstance(frame, ProgramFrame):
        return put_step(state, replace(parent, due=False)), child
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
                accounts[child_path(event.path, key)] = Account(granted=event.share)
            accounts[step.account] = replace(account, granted=left)
            state = replace(state, accounts=accounts.finish())
    expansion = Expansion(items=items, keys=event.keys, share=event.share, unfinished=len(event.keys))
    expanded = replace(step, expansion=expansion, out_tree=event.tree, status="expanded", tree=event.tree)
    return put_step(state, wake(expanded))


def step_completed(state: ExecutionState, event: StepCompleted) -> ExecutionState:
    step = state.steps[event.path]
    output = None if step.verdict is None else step.verdict.output
    output = outcome_of(state, step) if output is None else output.named(event.output)
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


def step_reused(state: ExecutionState, event: StepReused) -> ExecutionState:
    entry = state.spec.reuse.entries[event.key]
    step = state.steps.get(event.path)
    if step is None:
        state, step = _new_child(state, event, entry.given, None)
    step = replace(
        step,
        due=False,
        frame=None,
        key=event.key,
        leaf=event.leaf,
        model_config=entry.model_config,
        out_tree=event.tree,
        output=entry.output,
        reused=event.source,
        status="completed",
        tree=entry.given,
        verdict=None,
    )
    return finish(state, step)


def step_failed(state: ExecutionState, event: StepFailed) -> ExecutionState:
    step = state.steps.get(event.path)
    if step is None:
        state, step = contained_child(state, event.path, event.tree)
    elif step.open_calls:
        state = drop_calls(state, event.path)
        step = state.steps[event.path]
    output = step.frame.result if isinstance(step.frame, CommandFrame) else None
    if step.loop is not None:
        output = last_iteration(state, step).output
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
    return finish(state, step)


def step_skipped(state: ExecutionState, event: StepSkipped) -> ExecutionState:
    step = state.steps[event.path]
    why = "its condition is false" if event.because == event.path else f"skipped because of {event.because}"
    step = replace(
        step,
        due=False,
        error=Failure(kind="skipped", message=why),
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
    error = Failure(kind="cancelled", message="cancelled")
    step = replace(
        step,
        due=False,
        error=error,
        frame=None,
        out_tree=step.whole or step.tree or state.start_tree(step),
        status="cancelled",
        verdict=None,
    )
    return finish(state, step)


def attempt_failed(state: ExecutionState, event: AttemptFailed) -> ExecutionState:
    step = state.steps[event.path]
    used_up = agent_used_up(state, step, event.error)
    step = replace(
        step,
        error=event.error,
        frame=None,
        out_tree=step.tree,
        route=step.route + used_up,
        routed_at=event.attempt if used_up else step.routed_at,
        status="backoff",
        verdict=None,
    )
    return put_step(state, wake(step))
