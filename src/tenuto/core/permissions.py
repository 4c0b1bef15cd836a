"""For which calls a person must be asked first: where tools and agents say so, and what a fork would do again."""

from __future__ import annotations

from tenuto.core.ids import StepPath
from tenuto.core.reuse_table import OutsideCall
from tenuto.core.state import ExecutionState, StepState
from tenuto.core.work import work_of

__all__ = ["declared_approval", "needs_approval", "plan_step", "repeated_call"]


def needs_approval(state: ExecutionState, step: StepState, tool: str) -> bool:
    """Whether a person must let each call of this tool pass: the tool says so, or the agent's own spec, or the call
    would repeat an outside effect."""
    return declared_approval(state, step, tool) or repeated_call(state, step, tool) is not None


def declared_approval(state: ExecutionState, step: StepState, tool: str) -> bool:
    """Whether the tool, or the agent's own spec, says that a person must let each call pass."""
    spec = state.spec.registry.tools.get(tool)
    if spec is not None and spec.approval:
        return True
    agent = work_of(state, step).agent
    return agent is not None and tool in agent.approve


def repeated_call(state: ExecutionState, step: StepState, tool: str) -> OutsideCall | None:
    """The outside call of an earlier run that a call of this tool, made by this step, would repeat."""
    if not state.spec.reuse.outside:
        return None
    work, spec = work_of(state, step), state.spec.registry.tools.get(tool)
    effect = work.spec.effect if work.kind == "command" else "read" if spec is None else spec.effect
    if effect not in ("once", "idempotent"):
        return None
    return state.spec.reuse.outside_by_step.get((plan_step(state, step), tool))


def plan_step(state: ExecutionState, step: StepState) -> StepPath:
    """The path of the plan's step that a step belongs to: itself, or the one whose program or merge asked for it."""
    while step.asked_by is not None and step.parent is not None:
        step = state.steps[step.parent]
    return step.path
