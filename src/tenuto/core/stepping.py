"""What a due step does next: prepare its tree, expand, start, conclude an attempt, end."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.attempts import tries_again
from tenuto.core.budget import Amount
from tenuto.core.cancelling import cancel_step
from tenuto.core.canonical import digest
from tenuto.core.commands import Command, Conclude, LoadPlan, MergeTrees, SetTimer
from tenuto.core.containers import last_iteration, outcome_of, sub_plan_inputs
from tenuto.core.content import Content
from tenuto.core.events.budget import LanesOpened
from tenuto.core.events.call import MergeRequested
from tenuto.core.events.plan import PlanRequested
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
from tenuto.core.ids import (
    LOADED_PLAN,
    MERGED_BELOW,
    MERGED_NEEDS,
    MERGED_WHOLE,
    SETTLED_MERGE,
    Digest,
    StepPath,
    child_path,
    encode_key,
    iteration_path,
    member_path,
    position,
)
from tenuto.core.joins import below_tree, ends_tree, lane_trees, needs_tree, widened_tree
from tenuto.core.ledger import split
from tenuto.core.merging import MergePlan
from tenuto.core.moves import lane_account, unwanted_member
from tenuto.core.results import leaf, step_key
from tenuto.core.scope import foreach_items, outer_scope, plan_scope, step_scope, until_scope
from tenuto.core.seeds import backoff_ms
from tenuto.core.settling import settle_ask
from tenuto.core.state import (
    ROOT,
    Call,
    ExecutionState,
    Expansion,
    Loop,
    PlanFrame,
    ProgramFrame,
    StepState,
    WaitFrame,
)
from tenuto.core.work import wait_ms, work_of

__all__ = ["decide_step", "load_again", "merge_again"]


def decide_step(state: ExecutionState, step: StepState) -> Command:
    """The next command of a step that is due."""
    frame = step.frame
    if isinstance(frame, ProgramFrame) and frame.merging:
        return _merge_lanes(state, step, frame)
    if step.settling is not None:
        return _settle(state, step)
    if step.verdict is not None:
        return _conclude(state, step, step.verdict.output, step.verdict.failure)
    if step.status == "waiting":
        return _prepare(state, step)
    if step.status == "ready":
        return _begin(state, step, _given(state, step))
    if step.status == "backoff":
        taken_over = step.route and step.routed_at == step.attempt
        return _begin(state, step, _given(state, step)) if taken_over else _back_off(state, step)
    if step.expansion is not None:
        return _go_on_expanded(state, step, step.expansion)
    if step.loop is not None:
        return _go_on_loop(state, step)
    match frame:
        case ProgramFrame():
            return _go_on_program(state, step, frame)
        case PlanFrame():
            return _go_on_sub_plan(state, step)
        case WaitFrame(duration_ms=duration_ms):
            due = state.at + duration_ms * 1000
            return SetTimer(TimerSet(due_us=due, timer=position(step.path, step.attempt, 0), why="wait"))
        case _:
            raise AssertionError(f"{step.path} is due but has nothing to decide")


def merge_again(state: ExecutionState, call: Call) -> Command:
    """A merge whose outcome was lost: free to repeat, from the same plan."""
    step = state.steps.get(call.path)
    plan: Digest | MergePlan
    ordinal = call.position.rpartition("/")[2]
    if step is None:
        plan = ends_tree(state, ROOT)
    elif isinstance(step.frame, ProgramFrame) and ordinal.endswith(".m"):
        plan = _lane_plan(state, step, step.frame, ordinal)
    elif ordinal == SETTLED_MERGE:
        settled = _settle(state, step)
        if not isinstance(settled, MergeTrees):
            raise AssertionError(f"{call.position} was not settled")
        return MergeTrees(replace(settled.event, try_number=call.try_number + 1))
    elif ordinal == MERGED_NEEDS:
        plan = needs_tree(state, step)
    elif ordinal == MERGED_WHOLE:
        plan = widened_tree(state, step)
    else:
        plan = below_tree(state, step)
    if isinstance(plan, str):
        raise AssertionError(f"{call.position} needs no merge")
    return MergeTrees(MergeRequested(call=call.position, plan=plan, try_number=call.try_number + 1))


def _settle(state: ExecutionState, step: StepState) -> Command:
    """Let an agent settle the conflicts of a merge, then look at what it made of them."""
    if step.settled is None:
        marked = step.settling.marked if step.settling is not None else None
        return _start_asked(state, step, settle_ask(state, step), marked or _given(state, step), attempt=0)
    plan = needs_tree(state, step) if step.expansion is None else below_tree(state, step)
    if not isinstance(plan, MergePlan):
        raise AssertionError(f"{step.path} needs no merge")
    return MergeTrees(MergeRequested(call=position(step.path, 0, SETTLED_MERGE), plan=plan, settled=step.settled))


# --- before the first attempt ---------------------------------------------------------------------------------


def _prepare(state: ExecutionState, step: StepState) -> Command:
    spec = state.spec_of(step)
    judges = spec.step(step.name).judges
    for need in spec.plan.steps[spec.index[step.name]].needs:
        needed = state.steps[member_path(step.block, need)]
        if need in judges:
            continue
        failed = needed.status == "failed" and spec.step(need).on_error != "continue"
        if failed or needed.status in ("skipped", "cancelled"):
            return _skipped(state, step, needed.path, needed.out_tree or state.start_tree(step))
    tree_or_plan = needs_tree(state, step)
    if not isinstance(tree_or_plan, str):
        return MergeTrees(MergeRequested(call=position(step.path, 0, MERGED_NEEDS), plan=tree_or_plan))
    return _begin(state, step, tree_or_plan)


def _skipped(state: ExecutionState, step: StepState, because: StepPath, tree: Digest) -> Command:
    error = "its condition is false" if because == step.path else f"skipped because of {because}"
    made = leaf(state, step, status="skipped", output=None, tree=tree, error=error)
    return Conclude(StepSkipped(because=because, leaf=made, path=step.path, tree=tree))


def _begin(state: ExecutionState, step: StepState, tree: Digest) -> Command:
    spec = state.compiled(step)
    try:
        if step.attempt == 0 and step.child_index < 0 and step.asked is None:
            if spec.condition is not None and not spec.condition.evaluate(outer_scope(state, step)):
                return _skipped(state, step, step.path, step.whole or tree)
            if spec.foreach is not None:
                return _expand(state, step, tree)
            if spec.step.repeat is not None:
                return _iterate(state, step, 1, tree)
        return _start(state, step, tree)
    except ValueError as error:
        return _failed(state, step, Failure(kind="expression", message=str(error)), tree)


def _start(state: ExecutionState, step: StepState, tree: Digest) -> Command:
    """Start an attempt. Raises ValueError where something it needs to know cannot be had."""
    work = work_of(state, step)
    if work.kind == "wait":
        wait_ms(state, step)
    elif work.kind == "plan":
        if work.spec.produced is not None and step.produced is None:
            source = Content.of(work.spec.produced.evaluate(step_scope(state, step)))
            return LoadPlan(PlanRequested(call=position(step.path, 0, LOADED_PLAN), source=source, tree=tree))
        sub_plan_inputs(state, step)
    key = step_key(state, step, tree)
    return Conclude(_started(state, step, key, tree, attempt=step.attempt + 1))


def load_again(state: ExecutionState, call: Call) -> Command:
    """A sub-plan that was being loaded when the engine ended: free to repeat, from the same source."""
    step = state.steps[call.path]
    template = state.compiled(step).produced
    if template is None:
        raise AssertionError(f"{call.position} loads nothing")
    source = Content.of(template.evaluate(step_scope(state, step)))
    tree = _given(state, step)
    return LoadPlan(PlanRequested(call=call.position, source=source, tree=tree, try_number=call.try_number + 1))


def _started(state: ExecutionState, step: StepState, key: Digest, tree: Digest, *, attempt: int) -> StepStarted:
    account: Amount | None = None
    iteration = step.child_index >= 0 and step.parent is not None and state.steps[step.parent].expansion is None
    if attempt == 1 and state.spec.limited and not iteration:
        account = state.account(step.account).granted
    agent = work_of(state, step).agent
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
    spec = state.compiled(step)
    items = foreach_items(state, step)
    if spec.key is None:
        keys = tuple(str(i) for i in range(len(items)))
    else:
        scope = plan_scope(state, step.block)
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
    spec = state.compiled(step)
    failing = expansion.failing
    if failing is not None:
        for index in range(failing + 1, expansion.next_child):
            child = state.steps[child_path(step.path, expansion.keys[index])]
            if not child.ended:
                return cancel_step(state, child)
    width = spec.step.max_parallel or len(expansion.keys)
    if failing is None and expansion.next_child < len(expansion.keys) and expansion.running < width:
        return _start_child(state, step, expansion)
    if expansion.running:
        raise AssertionError(f"{step.path} is due but its children run")
    start = _given(state, step)
    if failing is not None:
        return _failed_child(state, step, child_path(step.path, expansion.keys[failing]), start)
    return _join(state, step)


def _failed_child(state: ExecutionState, step: StepState, path: StepPath, tree: Digest) -> Command:
    child = state.steps[path]
    why = child.error.message if child.error is not None else "failed"
    return _failed(state, step, Failure(kind="child", message=f"{child.path}: {why}"), tree)


def _join(state: ExecutionState, step: StepState) -> Command:
    """All steps below this one have ended: their trees are merged, then it has its output."""
    tree = step.out_tree if step.widened else step.joined
    if tree is None:
        below = below_tree(state, step)
        if isinstance(below, MergePlan):
            return MergeTrees(MergeRequested(call=position(step.path, 0, MERGED_BELOW), plan=below))
        tree = below
    try:
        output = outcome_of(state, step)
    except ValueError as error:
        return _failed(state, step, Failure(kind="expression", message=f"outputs: {error}"), _given(state, step))
    return _completed(state, replace(step, out_tree=tree), output)


def _given(state: ExecutionState, step: StepState) -> Digest:
    """The tree that a step was given."""
    return step.tree or state.start_tree(step)


def _start_child(state: ExecutionState, step: StepState, expansion: Expansion) -> Command:
    index = expansion.next_child
    path = child_path(step.path, expansion.keys[index])
    return _begin_child(state, _child(step, path, index, account=path), _given(state, step))


def _child(step: StepState, path: StepPath, index: int, *, account: str) -> StepState:
    """A child that is not known yet, to see what it would be."""
    return StepState(
        account=account,
        block=step.block,
        child_index=index,
        name=step.name,
        order=(*step.order, index),
        parent=step.path,
        path=path,
    )


def _begin_child(state: ExecutionState, child: StepState, tree: Digest) -> Command:
    """Start an item's child, or its first iteration where it repeats."""
    parent = state.steps.get(child.parent or child.path)
    repeats = state.compiled(child).step.repeat is not None and parent is not None and parent.expansion is not None
    try:
        if repeats:
            state = replace(state, steps=state.steps.set(child.path, child))
            return _iterate(state, child, 1, tree)
        return _start(state, child, tree)
    except ValueError as error:
        return _failed(state, child, Failure(kind="expression", message=str(error)), tree)


# --- repeat ---------------------------------------------------------------------------------------------------


def _iterate(state: ExecutionState, step: StepState, number: int, tree: Digest) -> Command:
    path = iteration_path(step.path, number)
    if step.loop is None:
        step = replace(step, loop=Loop())
    state = replace(state, steps=state.steps.set(step.path, step))
    return _begin_child(state, _child(step, path, number, account=step.account), tree)


def _go_on_loop(state: ExecutionState, step: StepState) -> Command:
    """The last iteration has ended: is it done, is there another, or was that the last?"""
    compiled = state.compiled(step)
    repeat, last = compiled.step.repeat, last_iteration(state, step)
    if repeat is None or step.loop is None:
        raise AssertionError(f"{step.path} does not repeat")
    start = _given(state, step)
    if last.status == "failed" and compiled.on_error == "fail":
        return _failed_child(state, step, last.path, start)
    number = step.loop.begun
    if compiled.until is not None:
        try:
            done = compiled.until.evaluate(until_scope(state, step, number))
        except ValueError as error:
            return _failed(state, step, Failure(kind="expression", message=f"until: {error}"), start)
        if not done and number >= repeat.max:
            message = f"until is still false after {number} iteration{'' if number == 1 else 's'}"
            return _failed(state, step, Failure(kind="repeat", message=message), start)
    else:
        done = number >= repeat.max
    return _join(state, step) if done else _iterate(state, step, number + 1, last.out_tree or start)


# --- sub-plans ------------------------------------------------------------------------------------------------


def _go_on_sub_plan(state: ExecutionState, step: StepState) -> Command:
    unwanted = unwanted_member(state, step.path)
    if unwanted is not None:
        return cancel_step(state, unwanted)
    block = state.blocks[step.path]
    if block.unfinished:
        raise AssertionError(f"{step.path} is due but its steps run")
    if block.failing is not None:
        name = state.block_spec(step.path).plan.steps[block.failing[-1]].name
        return _failed_child(state, step, member_path(step.path, name), _given(state, step))
    return _join(state, step)


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
        tree = frame.trees[ask.ordinal.rpartition(".")[0]]
        return _start_asked(state, step, ask, tree, attempt=step.attempt)
    raise AssertionError(f"{where} should have been queued")


def _start_asked(state: ExecutionState, step: StepState, ask: AskAgent, tree: Digest, *, attempt: int) -> Command:
    where = position(step.path, attempt, ask.ordinal)
    path = StepPath(where)
    child = StepState(
        account=path,
        asked=ask,
        asked_by=where,
        block=step.block,
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
    agent = work_of(state, child).agent
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
        return _completed(state, step, output)
    if failure is None:
        raise AssertionError(f"{step.path} has a verdict that says nothing")
    if tries_again(state, step, failure):
        return Conclude(AttemptFailed(attempt=step.attempt, error=failure, path=step.path))
    return _failed(state, step, failure, _given(state, step))


def _completed(state: ExecutionState, step: StepState, output: Content) -> Command:
    tree = step.out_tree or state.start_tree(step)
    if step.whole is not None and not step.widened:
        whole = widened_tree(state, step)
        if isinstance(whole, MergePlan):
            return MergeTrees(MergeRequested(call=position(step.path, 0, MERGED_WHOLE), plan=whole))
        tree = whole
    made = leaf(state, step, status="completed", output=output.digest, tree=tree, error=None)
    return Conclude(StepCompleted(leaf=made, output=output.digest, path=step.path, tree=tree))


def _failed(state: ExecutionState, step: StepState, error: Failure, tree: Digest) -> Command:
    tree = step.whole or tree
    made = leaf(state, step, status="failed", output=None, tree=tree, error=f"{error.kind}: {error.message}")
    return Conclude(StepFailed(error=error, leaf=made, path=step.path, tree=tree))


def _back_off(state: ExecutionState, step: StepState) -> Command:
    retry = state.compiled(step).retry
    timer = f"{step.path}/{step.attempt + 1}"
    wait = backoff_ms(state.seed, timer, base_ms=retry.backoff_ms, number=step.attempt)
    return SetTimer(TimerSet(due_us=state.at + wait * 1000, timer=timer, why="attempt"))
