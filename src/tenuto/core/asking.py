"""What a program asks for by a record of its own: lanes, timers, other agents; and agents that others ask."""

from __future__ import annotations

from tenuto.core.budget import Amount
from tenuto.core.commands import Command, Conclude, MergeTrees, SetTimer
from tenuto.core.events.budget import LanesOpened
from tenuto.core.events.call import MergeRequested
from tenuto.core.events.program import AskAgent, OpenLanes, Sleep, TimerSet
from tenuto.core.events.step import (
    StepStarted,
)
from tenuto.core.ids import (
    Digest,
    StepPath,
    position,
)
from tenuto.core.joins import lane_trees
from tenuto.core.ledger import split
from tenuto.core.merging import MergePlan
from tenuto.core.moves import lane_account
from tenuto.core.results import step_key
from tenuto.core.reusing import taken_result
from tenuto.core.state import (
    ExecutionState,
    ProgramFrame,
    StepState,
)
from tenuto.core.work import work_of

__all__ = ["go_on_program", "lane_plan", "merge_lanes", "start_asked"]


def go_on_program(state: ExecutionState, step: StepState, frame: ProgramFrame) -> Command:
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
        return start_asked(state, step, ask, tree, attempt=step.attempt)
    raise AssertionError(f"{where} should have been queued")


def start_asked(state: ExecutionState, step: StepState, ask: AskAgent, tree: Digest, *, attempt: int) -> Command:
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
    key = step_key(state, child, tree)
    taken = taken_result(state, child, key)
    if taken is not None:
        return taken
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
            key=key,
            path=path,
            tree=tree,
        )
    )


def merge_lanes(state: ExecutionState, step: StepState, frame: ProgramFrame) -> Command:
    ordinal = f"{frame.merging[0]}.m"
    plan = lane_plan(state, step, frame, ordinal)
    if not isinstance(plan, MergePlan):
        raise AssertionError(f"{step.path}: the lanes of {frame.merging[0]} need no merge")
    return MergeTrees(MergeRequested(call=position(step.path, step.attempt, ordinal), plan=plan))


def lane_plan(state: ExecutionState, step: StepState, frame: ProgramFrame, ordinal: str) -> Digest | MergePlan:
    gather_ordinal = ordinal.removesuffix(".m")
    gather = frame.gathers[gather_ordinal]
    names = [f"{gather_ordinal}.{lane}" for lane in range(gather.lanes)]
    return lane_trees(state, step, gather.tree, [(f"{step.path} lane {n}", frame.trees[n]) for n in names])
