"""`evolve(state, event) -> state`: apply a fact. Never refuses, never asks, never looks outside.

One function per kind, found by the event's type; a test holds the table to the closed set of events. Together with
`start` (the state before the first record) this is the whole fold of a journal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

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
from tenuto.core.events.person import ApprovalAnswered, ApprovalRequested
from tenuto.core.events.plan import PlanLoaded, PlanRequested
from tenuto.core.events.program import StepAdvanced, TimerFired, TimerSet
from tenuto.core.events.run import RunCancelled, RunEnded, RunExhausted, RunForked, RunPaused, RunResumed, RunStarted
from tenuto.core.events.step import (
    AttemptFailed,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepReused,
    StepSkipped,
    StepStarted,
)
from tenuto.core.evolve import calls, merges, money, people, plans, runs, steps
from tenuto.core.ids import Digest
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState

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
            fed=tuple(p for p in state.fed if p != event.path) if isinstance(event, StepAdvanced) else (),
            head=head,
            pass_after=None,
            refusing=False,
            seq=seq,
            turn=seq,
        )
    else:
        state = replace(state, head=head, seq=seq)
    return _HANDLERS[kind](state, event)


_HANDLERS: dict[type[Event], Callable[[ExecutionState, Any], ExecutionState]] = {
    ApprovalAnswered: people.approval_answered,
    ApprovalRequested: people.approval_requested,
    AttemptFailed: steps.attempt_failed,
    BudgetMoved: money.budget_moved,
    CallInDoubt: calls.call_in_doubt,
    CallLost: calls.call_lost,
    CallParked: money.call_parked,
    CallReconciled: calls.call_reconciled,
    CallRefused: money.call_refused,
    CallResolved: calls.call_resolved,
    LanesOpened: merges.lanes_opened,
    MergeRequested: merges.merge_requested,
    ModelCallFailed: calls.model_call_failed,
    ModelCallRequested: calls.model_call_requested,
    ModelReplied: calls.model_replied,
    PlanLoaded: plans.plan_loaded,
    PlanRequested: plans.plan_requested,
    RunCancelled: runs.run_cancelled,
    RunEnded: runs.run_ended,
    RunExhausted: runs.run_exhausted,
    RunForked: runs.run_forked,
    RunPaused: runs.run_paused,
    RunResumed: runs.run_resumed,
    RunStarted: runs.run_started,
    StepAdvanced: merges.step_advanced,
    StepCancelled: steps.step_cancelled,
    StepCompleted: steps.step_completed,
    StepExpanded: steps.step_expanded,
    StepFailed: steps.step_failed,
    StepReused: steps.step_reused,
    StepSkipped: steps.step_skipped,
    StepStarted: steps.step_started,
    TimerFired: merges.timer_fired,
    TimerSet: merges.timer_set,
    ToolCallFailed: calls.tool_call_failed,
    ToolCallRequested: calls.tool_call_requested,
    ToolReturned: calls.tool_returned,
    TreesMerged: merges.trees_merged,
}
_INPUTS = frozenset(Input.__args__)
