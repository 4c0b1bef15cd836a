"""What a step does: the agent loop, one command, or a Python program; and which agent makes which of its calls."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tenuto.core.events.program import AskAgent, AskModel
from tenuto.core.ids import Digest, Position, split_position
from tenuto.core.plan import PromptWork, RunWork
from tenuto.core.spec import AgentWork, RunSpec, StepSpec
from tenuto.core.state import AgentFrame, CommandFrame, Frame, ProgramFrame, StepState

__all__ = ["StepWork", "work_of"]


class StepWork(NamedTuple):
    """A step's compiled spec, its kind, and the agent of its loop."""

    spec: StepSpec
    kind: Literal["agent", "command", "program"]
    agent: AgentWork | None
    run: RunSpec

    def frame(self, tree: Digest, at: int) -> Frame:
        """The frame of a new attempt that begins at the time `at`."""
        if self.kind == "agent":
            return AgentFrame()
        if self.kind == "command":
            return CommandFrame()
        return ProgramFrame(started_at=at, trees={"": tree})

    def agent_for(self, step: StepState, where: Position) -> AgentWork:
        """Who makes this model call."""
        if self.agent is not None:
            return self.agent
        if isinstance(step.frame, ProgramFrame):
            ask = step.frame.open_asks[split_position(where)[2]]
            if isinstance(ask, AskModel):
                return self.run.asked_model(ask)
        raise AssertionError(f"{where} is no model call")


def work_of(spec: RunSpec, step: StepState) -> StepWork:
    """What this step, child or asked step does."""
    if step.asked is not None and isinstance(step.asked, AskAgent):
        return StepWork(spec.step(step.name), "agent", spec.asked_agent(step.asked), spec)
    known: StepWork | None = spec.works.get(step.name)
    if known is None:
        known = spec.works[step.name] = _plan_work(spec, spec.step(step.name))
    return known


def _plan_work(spec: RunSpec, compiled: StepSpec) -> StepWork:
    work = compiled.step.work
    if isinstance(work, PromptWork):
        return StepWork(compiled, "agent", compiled.agent, spec)
    return StepWork(compiled, "command" if isinstance(work, RunWork) else "program", None, spec)
