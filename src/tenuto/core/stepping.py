"""What a due step does next: prepare its tree, expand, start, conclude an attempt, end."""

from __future__ import annotations

from tenuto.core.budget import Amount
from tenuto.core.cancelling import cancel_step
from tenuto.core.canonical import digest
from tenuto.core.commands import Command, Conclude, MergeTrees, SetTimer
from tenuto.core.content import Content
from tenuto.core.events.budget import LanesOpened
from tenuto.core.events.call import MergeRequested
from tenuto.core.events.program import AskAgent, OpenLanes, Sleep, TimerSet
from tenuto.core.events.step import (
    AttemptFailed,
    Failure,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tenuto.core.ids import Digest, StepPath, encode_key, position
from tenuto.core.joins import child_trees, joined_tree, lane_trees
from tenuto.core.ledger import split
from tenuto.core.merging import MergePlan
from tenuto.core.moves import lane_account
from tenuto.core.results import leaf, step_key
from tenuto.core.scope import foreach_items, run_scope
from tenuto.core.seeds import backoff_ms
from tenuto.core.state import Call, ExecutionState, Expansion, ProgramFrame, StepState
from tenuto.core.work import work_of

__all__ = ["decide_step", "merge_again"]

FINAL_KINDS = frozenset(("expression", "merge_conflict", "agent", "budget"))
"""Failures that no further attempt can mend."""


def decide_step(state: ExecutionState, step: StepState) -> Command:
    """The next command of a step that is due."""
    frame = step.frame
    if isinstance(frame, ProgramFrame) and frame.merging:
        return _merge_lanes(state, step, frame)
    if step.verdict is not None:
        return _conclude(state, step, step.verdict.output, step.verdict.failure)
    if step.status == "waiting":
        return _prepare(state, step)
    if step.status == "ready":
        return _begin(state, step, step.tree or state.tree)
    if step.status == "backoff":
        return _back_off(state, step)
    if step.expansion is not None:
        return _go_on_expanded(state, step, step.expansion)
    if isinstance(frame, ProgramFrame):
        return _go_on_program(state, step, frame)
    raise AssertionError(f"{step.path} is due but has nothing to decide")


def merge_again(state: ExecutionState, call: Call) -> Command:
    """A merge whose outcome was lost: free to repeat, from the same plan."""
    step = state.steps.get(call.path)
    plan: Digest | MergePlan
    ordinal = call.position.rpartition("/")[2]
    if step is None:
        plan = joined_tree(state, state.spec.ends, state.spec.plan.merge)
    elif isinstance(step.frame, ProgramFrame):
        plan = _lane_plan(state, step, step.frame, ordinal)
    elif step.expansion is not None:
        plan = child_trees(state, step)
    else:
        plan = _needs_tree(state, step)
    if isinstance(plan, str):
        raise AssertionError(f"{call.position} needs no merge")
    return MergeTrees(MergeRequested(call=call.position, plan=plan, try_number=call.try_number + 1))


# --- before the first attempt ---------------------------------------------------------------------------------


def _prepare(state: ExecutionState, step: StepState) -> Command:
    for need in state.spec.plan.steps[state.spec.index[step.name]].needs:
        needed = state.steps[StepPath(need)]
        failed = needed.status == "failed" and state.spec.step(need).on_error != "continue"
        if failed or needed.status in ("skipped", "cancelled"):
            tree = needed.out_tree or state.tree
            error = f"skipped because of {need}"
            made = leaf(state, step, status="skipped", output=None, tree=tree, error=error)
            return Conclude(StepSkipped(because=needed.path, leaf=made, path=step.path, tree=tree))
    tree_or_plan = _needs_tree(state, step)
    if not isinstance(tree_or_plan, str):
        return MergeTrees(MergeRequested(call=position(step.path, 0, 0), plan=tree_or_plan))
    return _begin(state, step, tree_or_plan)


def _needs_tree(state: ExecutionState, step: StepState) -> Digest | MergePlan:
    spec = state.spec.step(step.name)
    return joined_tree(state, [state.spec.index[n] for n in spec.step.needs], spec.step.merge)


def _begin(state: ExecutionState, step: StepState, tree: Digest) -> Command:
    spec = state.spec.step(step.name)
    try:
        if spec.foreach is not None and step.child_index < 0 and step.asked is None:
            return _expand(state, step, tree)
        key = step_key(state, step, tree)
    except ValueError as error:
        return _failed(state, step, Failure(kind="expression", message=str(error)), tree)
    return Conclude(_started(state, step, key, tree, attempt=step.attempt + 1))


def _started(state: ExecutionState, step: StepState, key: Digest, tree: Digest, *, attempt: int) -> StepStarted:
    account: Amount | None = None
    if attempt == 1 and state.spec.limited:
        account = state.account(step.account).granted
    agent = work_of(state.spec, step).agent
    return StepStarted(
        account=account,
        agent=None if agent is None else agent.agent_digest,
        asked_by=step.asked_by,
        attempt=attempt,
        key=key,
        path=step.path,
        tree=tree,
    )


# --- foreach --------------------------------------------------------------------------------------------------


def _expand(state: ExecutionState, step: StepState, tree: Digest) -> Command:
    spec = state.spec.step(step.name)
    items = foreach_items(state, step)
    if spec.key is None:
        keys = tuple(str(i) for i in range(len(items)))
    else:
        scope = run_scope(state)
        keys = tuple(
            encode_key(spec.key.render({**scope, "item": Content(Digest(""), 0, item).value})) for item in items
        )
        if len(set(keys)) < len(keys):
            twice = next(k for i, k in enumerate(keys) if k in keys[:i])
            raise ValueError(f"key: two items have the key {twice!r}; use a key that tells them apart")
    share = None
    if state.spec.limited and items:
        share = split(state.account(step.account).free, len(items))
    return Conclude(
        StepExpanded(
            items=digest(b"[" + b",".join(bytes(i) for i in items) + b"]"),
            keys=keys,
            path=step.path,
            share=share,
            tree=tree,
        )
    )


def _go_on_expanded(state: ExecutionState, step: StepState, expansion: Expansion) -> Command:
    spec = state.spec.step(step.name)
    failing = expansion.failing
    if failing is not None:
        for index in range(failing + 1, expansion.next_child):
            child = state.steps[StepPath(f"{step.path}[{expansion.keys[index]}]")]
            if not child.ended:
                return cancel_step(state, child)
    width = spec.step.max_parallel or len(expansion.keys)
    if failing is None and expansion.next_child < len(expansion.keys) and expansion.running < width:
        return _start_child(state, step, expansion)
    if expansion.running:
        raise AssertionError(f"{step.path} is due but its children run")
    tree_or_plan = child_trees(state, step) if failing is None else step.tree or state.tree
    start = step.tree or state.tree
    if isinstance(tree_or_plan, MergePlan):
        if step.out_tree == start:
            return MergeTrees(MergeRequested(call=position(step.path, 0, 1), plan=tree_or_plan))
        tree = step.out_tree or start
    else:
        tree = tree_or_plan
    if failing is not None:
        child = state.steps[StepPath(f"{step.path}[{expansion.keys[failing]}]")]
        why = child.error.message if child.error is not None else "failed"
        return _failed(state, step, Failure(kind="child", message=f"{child.path}: {why}"), start)
    from tenuto.core.moves import child_outputs

    output = child_outputs(state, step)
    made = leaf(state, step, status="completed", output=output.digest, tree=tree, error=None)
    return Conclude(StepCompleted(leaf=made, output=output.digest, path=step.path, tree=tree))


def _start_child(state: ExecutionState, step: StepState, expansion: Expansion) -> Command:
    index = expansion.next_child
    path = StepPath(f"{step.path}[{expansion.keys[index]}]")
    tree = step.tree or state.tree
    child = StepState(
        account=path,
        child_index=index,
        name=step.name,
        order=(*step.order, index),
        parent=step.path,
        path=path,
    )
    try:
        key = step_key(state, child, tree)
    except ValueError as error:
        return _failed(state, child, Failure(kind="expression", message=str(error)), tree)
    agent = work_of(state.spec, child).agent
    return Conclude(
        StepStarted(
            account=state.account(path).granted if state.spec.limited else None,
            agent=None if agent is None else agent.agent_digest,
            attempt=1,
            key=key,
            path=path,
            tree=tree,
        )
    )


# --- programs -------------------------------------------------------------------------------------------------


def _merge_lanes(state: ExecutionState, step: StepState, frame: ProgramFrame) -> Command:
    ordinal = f"{frame.merging[0]}.m"
    plan = _lane_plan(state, step, frame, ordinal)
    if not isinstance(plan, MergePlan):
        raise AssertionError(f"{step.path}: the lanes of {frame.merging[0]} need no merge")
    return MergeTrees(MergeRequested(call=position(step.path, step.attempt, ordinal), plan=plan))


def _go_on_program(state: ExecutionState, step: StepState, frame: ProgramFrame) -> Command:
    ask = frame.pending[0]
    where = position(step.path, step.attempt, ask.ordinal)
    if isinstance(ask, OpenLanes):
        share = None
        if state.spec.limited and ask.lanes:
            share = split(state.account(lane_account(step, ask.ordinal)).free, ask.lanes)
        return Conclude(LanesOpened(call=where, lanes=ask.lanes, share=share))
    if isinstance(ask, Sleep):
        due = state.at + ask.duration_ms * 1000
        return SetTimer(TimerSet(due_us=due, timer=where, why="sleep"))
    if isinstance(ask, AskAgent):
        return _start_asked(state, step, frame, ask)
    raise AssertionError(f"{where} should have been queued")


def _start_asked(state: ExecutionState, step: StepState, frame: ProgramFrame, ask: AskAgent) -> Command:
    where = position(step.path, step.attempt, ask.ordinal)
    path = StepPath(where)
    tree = frame.trees[ask.ordinal.rpartition(".")[0]]
    child = StepState(
        account=path,
        asked=ask,
        asked_by=where,
        name=step.name,
        order=step.order,
        parent=step.path,
        path=path,
    )
    account: Amount | None = None
    if state.spec.limited:
        free = state.account(lane_account(step, ask.ordinal)).free
        account = Amount(
            **{
                d: max(0, min(getattr(free, d), limit))
                for d in state.spec.limited
                for limit in [state.spec.ask_cap(ask, d)]
            }
        )
    agent = work_of(state.spec, child).agent
    return Conclude(
        StepStarted(
            account=account,
            agent=None if agent is None else agent.agent_digest,
            asked_by=where,
            attempt=1,
            key=step_key(state, child, tree),
            path=path,
            tree=tree,
        )
    )


def _lane_plan(state: ExecutionState, step: StepState, frame: ProgramFrame, ordinal: str) -> Digest | MergePlan:
    gather_ordinal = ordinal.removesuffix(".m")
    gather = frame.gathers[gather_ordinal]
    names = [f"{gather_ordinal}.{lane}" for lane in range(gather.lanes)]
    return lane_trees(state, step, gather.tree, [(f"{step.path} lane {n}", frame.trees[n]) for n in names])


# --- ends -----------------------------------------------------------------------------------------------------


def _conclude(state: ExecutionState, step: StepState, output: Content | None, failure: Failure | None) -> Command:
    if output is not None:
        tree = step.out_tree or state.tree
        made = leaf(state, step, status="completed", output=output.digest, tree=tree, error=None)
        return Conclude(StepCompleted(leaf=made, output=output.digest, path=step.path, tree=tree))
    if failure is None:
        raise AssertionError(f"{step.path} has a verdict that says nothing")
    retry = state.spec.step(step.name).retry
    again = step.asked is None and step.attempt and step.attempt < retry.attempts
    if again and failure.kind not in FINAL_KINDS:
        return Conclude(AttemptFailed(attempt=step.attempt, error=failure, path=step.path))
    return _failed(state, step, failure, step.tree or state.tree)


def _failed(state: ExecutionState, step: StepState, error: Failure, tree: Digest) -> Command:
    made = leaf(state, step, status="failed", output=None, tree=tree, error=f"{error.kind}: {error.message}")
    return Conclude(StepFailed(error=error, leaf=made, path=step.path, tree=tree))


def _back_off(state: ExecutionState, step: StepState) -> Command:
    retry = state.spec.step(step.name).retry
    timer = f"{step.path}/{step.attempt + 1}"
    wait = backoff_ms(state.seed, timer, base_ms=retry.backoff_ms, number=step.attempt)
    return SetTimer(TimerSet(due_us=state.at + wait * 1000, timer=timer, why="attempt"))
