"""Starting an attempt of a step, once everything that it needs to know can be had."""

from __future__ import annotations

from tenuto.core.budget import Amount
from tenuto.core.commands import Command, Conclude, LoadPlan
from tenuto.core.containers import sub_plan_inputs
from tenuto.core.content import Content
from tenuto.core.ending import failed
from tenuto.core.events.plan import PlanRequested
from tenuto.core.events.step import Failure, StepStarted
from tenuto.core.ids import (
    LOADED_PLAN,
    Digest,
    position,
)
from tenuto.core.plan import PLAN_DEPTH_MAX
from tenuto.core.results import step_key
from tenuto.core.reusing import taken_result
from tenuto.core.scope import step_scope
from tenuto.core.state import ROOT, ExecutionState, StepState
from tenuto.core.work import wait_ms, work_of

__all__ = ["start_attempt"]


def start_attempt(state: ExecutionState, step: StepState, tree: Digest) -> Command:
    """Start an attempt. Raises ValueError where something it needs to know cannot be had."""
    work = work_of(state, step)
    if work.kind == "wait":
        wait_ms(state, step)
    elif work.kind == "plan":
        if _depth(state, step) > PLAN_DEPTH_MAX:
            failure = Failure(kind="plan", message=f"plans are nested deeper than {PLAN_DEPTH_MAX}")
            return failed(state, step, failure, tree)
        if work.spec.produced is not None and step.produced is None:
            source = Content.of(work.spec.produced.evaluate(step_scope(state, step)))
            return LoadPlan(PlanRequested(call=position(step.path, 0, LOADED_PLAN), source=source, tree=tree))
        sub_plan_inputs(state, step)
    key = step_key(state, step, tree)
    taken = taken_result(state, step, key)
    if taken is not None:
        return taken
    return Conclude(_started(state, step, key, tree, attempt=step.attempt + 1))


def _depth(state: ExecutionState, step: StepState) -> int:
    """How deep the sub-plan of a step stands: plans that are produced may nest without end."""
    depth, block = 1, step.block
    while block != ROOT:
        depth, block = depth + 1, state.steps[block].block
    return depth


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
