"""A record as people read it: where, what, and the numbers that belong to it."""

from __future__ import annotations

import msgspec

from tenuto.app.timeline import Timeline
from tenuto.app.wording import in_words
from tenuto.core.budget import NOTHING, Amount
from tenuto.core.events import Event
from tenuto.core.events.call import (
    CallInDoubt,
    CallLost,
    CallRefused,
    ModelCallFailed,
    ModelReplied,
    ToolCallFailed,
    ToolReturned,
)
from tenuto.core.events.run import RunEnded, RunExhausted
from tenuto.core.events.step import AttemptFailed, StepCompleted, StepFailed
from tenuto.core.ids import Position, split_position
from tenuto.core.records import Record

__all__ = ["Happening", "below", "happening", "place_of"]

_BAD = (StepFailed, AttemptFailed, ModelCallFailed, ToolCallFailed, CallRefused, CallLost, CallInDoubt, RunExhausted)


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One record as people read it. `at_us` is UTC since the epoch; `duration_ms` is of what ended here.

    `good` is None where nothing ended. `step` and `call` are None for what concerns the whole run.
    """

    seq: int
    at_us: int
    kind: str
    step: str | None
    call: str | None
    what: str
    good: bool | None
    tokens: int
    usd_micros: int
    duration_ms: int | None


def happening(record: Record, timeline: Timeline) -> Happening:
    """What a record says. The timeline has heard the record already, and all before it."""
    event = record.event
    step, call = place_of(event)
    spent = _spent(event, timeline)
    return Happening(
        seq=record.seq,
        at_us=record.at,
        kind=type(event).__name__,
        step=step,
        call=call,
        what=in_words(event, timeline),
        good=_good(event),
        tokens=spent.tokens,
        usd_micros=spent.usd_micros,
        duration_ms=_duration_ms(record, timeline),
    )


def place_of(event: Event) -> tuple[str | None, str | None]:
    """The step and the call that an event is about."""
    call = getattr(event, "call", None) or getattr(event, "timer", None)
    path = getattr(event, "path", None)
    if path is not None:
        return path, None
    if not isinstance(call, str):
        return None, None
    try:
        return split_position(Position(call))[0], call
    except ValueError:
        return call.rpartition("/")[0] or None, None  # the timer of an attempt


def below(path: str | None, step: str) -> bool:
    """Whether a path is that of the step, or of one below it."""
    return path is not None and (path == step or path.startswith((f"{step}[", f"{step}/")))


def _good(event: Event) -> bool | None:
    match event:
        case StepCompleted() | RunEnded(status="ok"):
            return True
        case RunEnded() | ToolReturned(status="error"):
            return False
        case _:
            return False if isinstance(event, _BAD) else None


def _spent(event: Event, timeline: Timeline) -> Amount:
    match event:
        case ModelReplied(call=call):
            return timeline.calls[call].spent if call in timeline.calls else NOTHING
        case CallLost(kept=kept):
            return kept
        case ModelCallFailed(call=call, kept=True):
            return timeline.calls[call].asked.hold
        case RunEnded(spent=spent):
            return spent
        case _:
            return NOTHING


def _duration_ms(record: Record, timeline: Timeline) -> int | None:
    event = record.event
    if isinstance(event, (ModelReplied, ModelCallFailed, ToolReturned, ToolCallFailed)):
        return event.duration_ms
    if isinstance(event, (StepCompleted, StepFailed)):
        begun = timeline.steps[event.path].begun_us
        return None if begun is None else (record.at - begun) // 1000
    if isinstance(event, RunEnded):
        return (record.at - timeline.started_us) // 1000
    return None
