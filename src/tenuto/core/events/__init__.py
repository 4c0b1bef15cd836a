"""The closed set of events, input and derived ones told apart.

Inputs come from outside the kernel: outcomes of effects, requests, timers. Derived events are computed by the
kernel from the state; replay computes them again and compares bytes.
"""

from __future__ import annotations

from typing import get_args

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

__all__ = ["DERIVED", "EVENTS", "INPUTS", "Derived", "Event", "Input"]

Input = (
    RunStarted
    | RunForked
    | RunResumed
    | RunCancelled
    | RunPaused
    | ApprovalAnswered
    | CallResolved
    | ModelReplied
    | ModelCallFailed
    | ToolReturned
    | ToolCallFailed
    | CallReconciled
    | TreesMerged
    | PlanLoaded
    | StepAdvanced
    | TimerFired
)
Derived = (
    StepStarted
    | StepExpanded
    | StepReused
    | StepCompleted
    | StepFailed
    | StepSkipped
    | StepCancelled
    | AttemptFailed
    | LanesOpened
    | ModelCallRequested
    | ToolCallRequested
    | MergeRequested
    | PlanRequested
    | ApprovalRequested
    | TimerSet
    | CallParked
    | BudgetMoved
    | CallRefused
    | CallLost
    | CallInDoubt
    | RunExhausted
    | RunEnded
)
Event = Input | Derived

INPUTS: tuple[type[Input], ...] = get_args(Input)
DERIVED: tuple[type[Derived], ...] = get_args(Derived)
EVENTS: tuple[type[Event], ...] = (*INPUTS, *DERIVED)
