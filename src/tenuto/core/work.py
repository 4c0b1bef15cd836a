"""What a step does: the agent loop, one command, a Python program, a sub-plan, a question to a person, a pause."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tenuto.core.agent_work import AgentWork
from tenuto.core.durations import read_duration_ms
from tenuto.core.events.program import AskAgent, AskModel
from tenuto.core.ids import Digest, Position, split_position
from tenuto.core.plan import ApprovalWork, PlanWork, PromptWork, RunWork, UsesWork, WaitWork
from tenuto.core.scope import step_scope
from tenuto.core.spec import RunSpec, StepSpec
from tenuto.core.state import (
    AgentFrame,
    CommandFrame,
    ExecutionState,
    Frame,
    PersonFrame,
    PlanFrame,
    ProgramFrame,
    StepState,
    WaitFrame,
)

__all__ = ["StepWork", "new_frame", "wait_ms", "work_of"]

WorkKind = Literal["agent", "command", "program", "plan", "person", "wait"]


class StepWork(NamedTuple):
    """A step's compiled spec, its kind, the agent of its loop, and the plan it belongs to."""

    spec: StepSpec
    kind: WorkKind
    agent: AgentWork | None
    run: RunSpec

    def agent_for(self, step: StepState, where: Position) -> AgentWork:
        """Who makes this model call."""
        if self.agent is not None:
            return self.agent
        if isinstance(step.frame, ProgramFrame):
            ask = step.frame.open_asks[split_position(where)[2]]
            if isinstance(ask, AskModel):
                return self.run.asked_model(ask)
        raise AssertionError(f"{where} is no model call")


def work_of(state: ExecutionState, step: StepState) -> StepWork:
    """What this step, child or asked step does."""
    spec = state.spec_of(step)
    if step.asked is not None and isinstance(step.asked, AskAgent):
        return StepWork(spec.step(step.name), "agent", spec.asked_agent(step.asked), spec)
    known: StepWork | None = spec.works.get(step.name)
    if known is None:
        known = spec.works[step.name] = _plan_work(spec, spec.step(step.name))
    if step.route:
        return known._replace(agent=known.spec.fallbacks[step.route - 1])
    return known


def _plan_work(spec: RunSpec, compiled: StepSpec) -> StepWork:
    kind: WorkKind
    match compiled.step.work:
        case PromptWork():
            kind = "agent"
        case RunWork():
            kind = "command"
        case UsesWork():
            kind = "program"
        case PlanWork():
            kind = "plan"
        case ApprovalWork():
            kind = "person"
        case WaitWork():
            kind = "wait"
    return StepWork(compiled, kind, compiled.agent, spec)


def new_frame(state: ExecutionState, step: StepState, tree: Digest) -> Frame:
    """The frame of an attempt that begins now."""
    match work_of(state, step).kind:
        case "agent":
            return AgentFrame()
        case "command":
            return CommandFrame()
        case "program":
            return ProgramFrame(started_at=state.at, trees={"": tree})
        case "plan":
            return PlanFrame()
        case "person":
            return PersonFrame()
        case "wait":
            return WaitFrame(duration_ms=wait_ms(state, step))


def wait_ms(state: ExecutionState, step: StepState) -> int:
    """How long a step waits. Raises ValueError where its template does not yield a duration."""
    template = state.compiled(step).duration
    if template is None:
        raise AssertionError(f"{step.path} waits for nothing")
    return read_duration_ms(template.render(step_scope(state, step)))
