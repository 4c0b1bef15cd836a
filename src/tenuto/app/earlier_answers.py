"""What became of a question that nobody can answer any more: who answered it, and how."""

from __future__ import annotations

from tenuto.app.build import Store
from tenuto.core.events.person import ApprovalAnswered, ApprovalRequested
from tenuto.core.ids import Position
from tenuto.core.records import decode
from tenuto.core.requests import AnswerCall, read_request, request_key
from tenuto.core.state import ExecutionState

__all__ = ["earlier_answer"]


async def earlier_answer(store: Store, state: ExecutionState, call: str) -> str:
    """What became of the question of a call, in one sentence; empty where it was never asked, or still waits."""
    given = await _given(store, state, call)
    if given is not None:
        return _told(call, given)
    missed = False
    async for row in store.journal.read(state.run):
        event = decode(row.body).event
        if isinstance(event, ApprovalAnswered) and event.call == call:
            return _told(call, event)
        if isinstance(event, ApprovalRequested) and event.call == call:
            missed = event.due_us is not None and event.due_us <= state.at
    return f"nobody answered {call} in time" if missed and call not in state.calls else ""


async def _given(store: Store, state: ExecutionState, call: str) -> AnswerCall | None:
    """The answer that lies in the inbox, not yet taken by an engine."""
    key = request_key(AnswerCall(approved=True, call=Position(call)), state)
    rows = await store.journal.asked(state.run)
    found = next((read_request(row.body) for row in rows if row.key == key), None)
    return found if isinstance(found, AnswerCall) else None


def _told(call: str, answer: AnswerCall | ApprovalAnswered) -> str:
    how = "approved" if answer.approved else "rejected"
    return f"the call {call} was {how} before{f' by {answer.who}' if answer.who else ''}"
