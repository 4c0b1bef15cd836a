"""What outsiders may ask of a run, and `admit`: the fact it becomes, or a typed refusal.

Requests travel as JSON rows through the store's inbox; only the driving engine takes them into the journal.
"""

from __future__ import annotations

import msgspec

from tenuto.core.content import Content
from tenuto.core.events.call import CallResolved
from tenuto.core.events.person import ApprovalAnswered
from tenuto.core.events.run import RunCancelled, RunPaused
from tenuto.core.ids import Position
from tenuto.core.state import ExecutionState

__all__ = [
    "AnswerCall",
    "CancelRun",
    "PauseRun",
    "Refusal",
    "Request",
    "ResolveCall",
    "admit",
    "read_request",
    "request_key",
    "write_request",
]


class CancelRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="cancel", tag_field="request"):
    reason: str = ""
    who: str = ""


class PauseRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="pause", tag_field="request"):
    """Let calls under way end, and start none until the run is resumed."""

    who: str = ""


class AnswerCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="answer", tag_field="request"):
    """A person's answer to a call that waits for it. `details` replace what they were shown, where they edited it."""

    approved: bool
    call: Position
    details: Content | None = None
    note: str = ""
    who: str = ""


class ResolveCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="resolve", tag_field="request"):
    """What became of a call in doubt."""

    call: Position
    done: bool
    result: Content | None = None
    who: str = ""


Request = CancelRun | PauseRun | AnswerCall | ResolveCall


class Refusal(msgspec.Struct, frozen=True):
    """Why a request makes no sense for this run, in one line."""

    why: str


_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_encode = msgspec.json.Encoder(order="sorted").encode


def write_request(request: Request) -> bytes:
    return _encode(request)


def read_request(data: bytes) -> Request:
    """Raises ValueError for bytes that are no request of this version."""
    return _decoder.decode(data)


def request_key(request: Request, state: ExecutionState) -> str:
    """Requests with one key exclude each other: the first answer for a try of a call wins."""
    if isinstance(request, CancelRun):
        return f"cancel:{state.seq}"
    if isinstance(request, PauseRun):
        return f"pause:{state.seq}"
    call = state.calls.get(request.call)
    return f"call:{request.call}:{0 if call is None else call.try_number}"


Admitted = RunCancelled | RunPaused | ApprovalAnswered | CallResolved


def admit(state: ExecutionState, request: Request, *, asked_at_us: int) -> Admitted | Refusal:
    """The fact a request becomes now. Pure; nothing is recorded here.

    An answer counts from the time at which it was asked for: one that was given in time holds, however late it is
    taken in.
    """
    if state.ended:
        return Refusal(f"the run has ended ({state.status})")
    match request:
        case CancelRun():
            if state.status == "cancelling":
                return Refusal("the run is being cancelled already")
            return RunCancelled(asked_at_us=asked_at_us, reason=request.reason, who=request.who)
        case PauseRun():
            if state.status != "running":
                return Refusal(f"the run is {state.status}: it cannot be paused")
            return RunPaused(asked_at_us=asked_at_us, who=request.who)
        case AnswerCall():
            return _answered(state, request, asked_at_us)
        case ResolveCall():
            return _resolved(state, request, asked_at_us)


def _answered(state: ExecutionState, request: AnswerCall, asked_at_us: int) -> ApprovalAnswered | Refusal:
    call = state.calls.get(request.call)
    if call is None:
        return Refusal(f"no call {request.call} is open")
    if call.status != "asked":
        fix = "; use `tenuto resolve`" if call.asks_person else ""
        return Refusal(f"the call {request.call} does not wait for an approval, it is {call.status}{fix}")
    if call.due_us is not None and asked_at_us > call.due_us:
        return Refusal(f"the time to answer {request.call} is over")
    return ApprovalAnswered(
        approved=request.approved,
        asked_at_us=asked_at_us,
        call=request.call,
        details=request.details,
        note=request.note,
        who=request.who,
    )


def _resolved(state: ExecutionState, request: ResolveCall, asked_at_us: int) -> CallResolved | Refusal:
    call = state.calls.get(request.call)
    if call is None:
        return Refusal(f"no call {request.call} is open")
    if call.asks_tool:
        return Refusal(f"the tool of {request.call} is being asked what became of it")
    if call.status == "asked":
        return Refusal(f"the call {request.call} waits for an approval; use `tenuto approve` or `tenuto reject`")
    if not call.asks_person:
        return Refusal(f"the call {request.call} is not in doubt, it is {call.status}")
    return CallResolved(
        asked_at_us=asked_at_us, call=request.call, done=request.done, result=request.result, who=request.who
    )
