"""What a due step does next: prepare its tree, expand, start, conclude an attempt, end."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.asking import go_on_program, lane_plan, merge_lanes, start_asked
from tenuto.core.commands import Command, LoadPlan, MergeTrees, SetTimer
from tenuto.core.containing import expand, go_on_expanded, go_on_loop, go_on_sub_plan, iterate
from tenuto.core.content import Content
from tenuto.core.ending import conclude, failed, given_tree, skipped
from tenuto.core.events.call import MergeRequested
from tenuto.core.events.plan import PlanRequested
from tenuto.core.events.program import TimerSet
from tenuto.core.events.step import (
    Failure,
)
from tenuto.core.ids import (
    MERGED_NEEDS,
    MERGED_WHOLE,
    SETTLED_MERGE,
    Digest,
    member_path,
    position,
)
from tenuto.core.joins import below_tree, ends_tree, needs_tree, widened_tree
from tenuto.core.merging import MergePlan
from tenuto.core.scope import outer_scope, step_scope
from tenuto.core.seeds import backoff_ms
from tenuto.core.settling import settle_ask
from tenuto.core.starting import start_attempt
from tenuto.core.state import (
    ROOT,
    Call,
    ExecutionState,
    PlanFrame,
    ProgramFrame,
    StepState,
    WaitFrame,
)

__all__ = ["decide_step", "load_again", "merge_again"]


def decide_step(state: ExecutionState, step: StepState) -> Command:
    """The next command of a step that is due."""
    frame = step.frame
    if isinstance(frame, ProgramFrame) and frame.merging:
        return merge_lanes(state, step, frame)
    if step.settling is not None:
        return _settle(state, step)
    if step.verdict is not None:
        return conclude(state, step, step.verdict.output, step.verdict.failure)
    if step.status == "waiting":
        return _prepare(state, step)
    if step.status == "ready":
        return _begin(state, step, given_tree(state, step))
    if step.status == "backoff":
        taken_over = step.route and step.routed_at == step.attempt
        return _begin(state, step, given_tree(state, step)) if taken_over else _back_off(state, step)
    if step.expansion is not None:
        return go_on_expanded(state, step, step.expansion)
    if step.loop is not None:
        return go_on_loop(state, step)
    match frame:
        case ProgramFrame():
            return go_on_program(state, step, frame)
        case PlanFrame():
            return go_on_sub_plan(state, step)
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
        plan = lane_plan(state, step, step.frame, ordinal)
    elif ordinal == SETTLED_MERGE:
        settled = _settle(state, step)
        if not isinstance(settled, MergeTrees):
            raise AssertionError(f"{call.position} was not settled")
        return MergeTrees(replace(settled.event, try_number=call.try_number + 1))
    elif ordinal == MERGED_WHOLE and step.status == "ready":
        taken = _begin(state, step, given_tree(state, step))  # a result that it takes
        if not isinstance(taken, MergeTrees):
            raise AssertionError(f"{call.position} takes no result")
        plan = taken.event.plan
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
        return start_asked(state, step, settle_ask(state, step), marked or given_tree(state, step), attempt=0)
    plan = needs_tree(state, step) if step.expansion is None else below_tree(state, step)
    if not isinstance(plan, MergePlan):
        raise AssertionError(f"{step.path} needs no merge")
    return MergeTrees(MergeRequested(call=position(step.path, 0, SETTLED_MERGE), plan=plan, settled=step.settled))


def _prepare(state: ExecutionState, step: StepState) -> Command:
    spec = state.spec_of(step)
    judges = spec.step(step.name).judges
    for need in spec.plan.steps[spec.index[step.name]].needs:
        needed = state.steps[member_path(step.block, need)]
        if need in judges:
            continue
        failed = needed.status == "failed" and spec.step(need).on_error != "continue"
        if failed or needed.status in ("skipped", "cancelled"):
            return skipped(state, step, needed.path, needed.out_tree or state.start_tree(step))
    tree_or_plan = needs_tree(state, step)
    if not isinstance(tree_or_plan, str):
        return MergeTrees(MergeRequested(call=position(step.path, 0, MERGED_NEEDS), plan=tree_or_plan))
    return _begin(state, step, tree_or_plan)


def _begin(state: ExecutionState, step: StepState, tree: Digest) -> Command:
    spec = state.compiled(step)
    try:
        if step.attempt == 0 and step.child_index < 0 and step.asked is None:
            if spec.condition is not None and not spec.condition.evaluate(outer_scope(state, step)):
                return skipped(state, step, step.path, step.whole or tree)
            if spec.foreach is not None:
                return expand(state, step, tree)
            if spec.step.repeat is not None:
                return iterate(state, step, 1, tree)
        return start_attempt(state, step, tree)
    except ValueError as error:
        return failed(state, step, Failure(kind="expression", message=str(error)), tree)


def load_again(state: ExecutionState, call: Call) -> Command:
    """A sub-plan that was being loaded when the engine ended: free to repeat, from the same source."""
    step = state.steps[call.path]
    template = state.compiled(step).produced
    if template is None:
        raise AssertionError(f"{call.position} loads nothing")
    source = Content.of(template.evaluate(step_scope(state, step)))
    tree = given_tree(state, step)
    return LoadPlan(PlanRequested(call=call.position, source=source, tree=tree, try_number=call.try_number + 1))


def _back_off(state: ExecutionState, step: StepState) -> Command:
    retry = state.compiled(step).retry
    timer = f"{step.path}/{step.attempt + 1}"
    wait = backoff_ms(state.seed, timer, base_ms=retry.backoff_ms, number=step.attempt)
    return SetTimer(TimerSet(due_us=state.at + wait * 1000, timer=timer, why="attempt"))
