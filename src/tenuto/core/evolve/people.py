"""What happens to calls that wait for a person."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.content import Content
from tenuto.core.events.person import ApprovalAnswered, ApprovalRequested
from tenuto.core.events.step import Failure
from tenuto.core.frames import after_tool
from tenuto.core.moves import drop_call, give_verdict, repeat
from tenuto.core.people import question_of
from tenuto.core.program_moves import feed
from tenuto.core.state import AgentFrame, Call, ExecutionState, PersonFrame, ProgramFrame

__all__ = ["approval_answered", "approval_requested", "expired"]


def approval_requested(state: ExecutionState, event: ApprovalRequested) -> ExecutionState:
    call = replace(state.calls[event.call], due_us=event.due_us, status="asked")
    attend = state.attend if event.due_us is not None else tuple(p for p in state.attend if p != event.call)
    return replace(state, attend=attend, calls=state.calls.set(event.call, call), people=state.people + 1)


def approval_answered(state: ExecutionState, event: ApprovalAnswered) -> ExecutionState:
    call = state.calls[event.call]
    state = _no_longer_asked(state, call)
    if event.approved and call.kind == "tool":
        return repeat(state, replace(call, approved=True, due_us=None, edited=event.details, status="queued"))
    frame = state.steps[call.path].frame
    if call.kind == "tool" or (isinstance(frame, PersonFrame) and not event.approved):
        who, why = event.who or "a person", f": {event.note}" if event.note else ""
        return _refused(state, call, "rejected", f"{who} rejected this{why}")
    details = event.details or question_of(state, call).details
    answer = Content.of(
        {
            "approved": event.approved,
            "details": None if details is None else details.value,
            "note": event.note,
            "who": event.who,
        }
    )
    state = drop_call(state, call)
    step = state.steps[call.path]
    if isinstance(frame, ProgramFrame):
        return feed(state, step, call.position.rpartition("/")[2], value=answer)
    return give_verdict(state, step, answer)


def expired(state: ExecutionState, call: Call) -> ExecutionState:
    """Nobody has answered in time. The timer that said so is gone already."""
    return _refused(_no_longer_asked(state, call), call, "expired", "nobody answered in time")


def _no_longer_asked(state: ExecutionState, call: Call) -> ExecutionState:
    timers = state.timers.delete(call.position) if call.position in state.timers else state.timers
    return replace(state, people=state.people - 1, timers=timers)


def _refused(state: ExecutionState, call: Call, kind: str, message: str) -> ExecutionState:
    """The call is not made. An agent is told so as a tool's result; a program and an approval step get an error."""
    state = drop_call(state, call)
    step = state.steps[call.path]
    failure = Failure(call=call.position, kind=kind, message=message)
    if isinstance(step.frame, ProgramFrame):
        return feed(state, step, call.position.rpartition("/")[2], failure=failure)
    if isinstance(step.frame, AgentFrame):
        tree = step.out_tree or state.start_tree(step)
        return after_tool(state, step, call, Content.of({"error": message}), status="error", tree=tree)
    return give_verdict(state, step, failure)
