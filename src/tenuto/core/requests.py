"""What outsiders may ask of a run, and `admit`: the fact it becomes, or a typed refusal.

Requests travel as JSON rows through the store's inbox; only the driving engine takes them into the journal.
"""

from __future__ import annotations

import msgspec

from tenuto.core.content import Content
from tenuto.core.events.call import CallResolved
from tenuto.core.events.run import RunCancelled
from tenuto.core.ids import Position
from tenuto.core.state import ExecutionState

__all__ = ["CancelRun", "Refusal", "Request", "ResolveCall", "admit", "read_request", "request_key", "write_request"]


class CancelRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="cancel", tag_field="request"):
    reason: str = ""
    who: str = ""


class ResolveCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="resolve", tag_field="request"):
    """What became of a call in doubt."""

    call: Position
    done: bool
    result: Content | None = None
    who: str = ""


Request = CancelRun | ResolveCall


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
    call = state.calls.get(request.call)
    return f"call:{request.call}:{0 if call is None else call.try_number}"


def admit(state: ExecutionState, request: Request, *, asked_at_us: int) -> RunCancelled | CallResolved | Refusal:
    """The fact a request becomes now. Pure; nothing is recorded here."""
    if state.ended:
        return Refusal(f"the run has ended ({state.status})")
    if isinstance(request, CancelRun):
        if state.status == "cancelling":
            return Refusal("the run is being cancelled already")
        return RunCancelled(asked_at_us=asked_at_us, reason=request.reason, who=request.who)
    call = state.calls.get(request.call)
    if call is None:
        return Refusal(f"no call {request.call} is open")
    if call.asks_tool:
        return Refusal(f"the tool of {request.call} is being asked what became of it")
    if not call.asks_person:
        return Refusal(f"the call {request.call} is not in doubt, it is {call.status}")
    return CallResolved(
        asked_at_us=asked_at_us, call=request.call, done=request.done, result=request.result, who=request.who
    )
