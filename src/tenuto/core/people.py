"""Questions to people: what is asked, and what is shown with it."""

from __future__ import annotations

from typing import NamedTuple

from tenuto.core.calls import tool_ask
from tenuto.core.commands import Command, Conclude, SetTimer
from tenuto.core.content import Content
from tenuto.core.events.person import ApprovalRequested
from tenuto.core.events.program import AskPerson, TimerSet
from tenuto.core.permissions import repeated_call
from tenuto.core.plan import ApprovalWork
from tenuto.core.scope import step_scope
from tenuto.core.state import Call, ExecutionState, ProgramFrame

__all__ = ["Question", "ask_person", "question_of"]


def ask_person(state: ExecutionState, call: Call) -> Command:
    """The next record of a question: the question itself, then the timer that ends it."""
    if call.status == "asked":
        if call.due_us is None:
            raise AssertionError(f"{call.position} waits without end")
        return SetTimer(TimerSet(due_us=call.due_us, timer=call.position, why="expires"))
    asked = question_of(state, call)
    due_us = None if asked.expires_ms is None else state.at + asked.expires_ms * 1000
    return Conclude(
        ApprovalRequested(
            call=call.position,
            details=asked.details,
            due_us=due_us,
            question=asked.question,
            repeats=asked.repeats,
            tool=asked.tool,
        )
    )


class Question(NamedTuple):
    """What a person is asked, what they see with it and may edit, for how long it stands, the tool it is about, and
    the call of an earlier run whose outside effect it would repeat."""

    question: Content
    details: Content | None = None
    expires_ms: int | None = None
    tool: str | None = None
    repeats: str | None = None


def question_of(state: ExecutionState, call: Call) -> Question:
    """The question of a call that waits for a person, as it follows from the state."""
    step = state.steps[call.path]
    if call.kind == "tool":
        tool, arguments, agent = tool_ask(state, call, step)
        repeated = repeated_call(state, step, tool)
        if repeated is None:
            return Question(Content.of(f"{agent or step.path} wants to call {tool}"), arguments, tool=tool)
        asks = f"{agent or step.path} wants to call {tool} again: this repeats an outside effect of {repeated.call}"
        return Question(Content.of(asks), arguments, tool=tool, repeats=repeated.call)
    frame = step.frame
    if isinstance(frame, ProgramFrame):
        ask = frame.open_asks[call.position.rpartition("/")[2]]
        if not isinstance(ask, AskPerson):
            raise AssertionError(f"{call.position} asks nobody")
        return Question(ask.question, ask.details, ask.expires_ms)
    compiled = state.compiled(step)
    work = compiled.step.work
    if compiled.ask is None or not isinstance(work, ApprovalWork):
        raise AssertionError(f"{call.position} asks nobody")
    scope = step_scope(state, step)
    details = Content.of(scope["with"]) if compiled.values is not None else None
    return Question(Content.of(compiled.ask.render(scope)), details, work.expires_ms)
