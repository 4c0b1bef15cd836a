"""Records: events as they are stored, chained by hashes.

    {"at":1760000000000000,"data":{...},"kind":"StepStarted","prev":"<64 hex>","seq":7,"version":1}

Canonical JSON (`core.canonical`); `prev` is the SHA-256 of the record before (64 zeros for seq 0); the SHA-256 of
these bytes is the record's hash and event id. `at` is microseconds since 1970-01-01 UTC, the engine's reading.
`version` is that of the kind: events are written in the newest, and read from every one there was (`core.upcasting`).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Union

import msgspec

from tenuto.core.content import Content
from tenuto.core.events import EVENTS, INPUTS, Event
from tenuto.core.events.call import CallReconciled, CallResolved, ModelReplied, ToolCallRequested, ToolReturned
from tenuto.core.events.person import ApprovalAnswered, ApprovalRequested
from tenuto.core.events.plan import PlanLoaded, PlanRequested
from tenuto.core.events.program import AskAgent, AskModel, AskPerson, AskTool, StepAdvanced
from tenuto.core.events.run import RunEnded, RunForked, RunStarted
from tenuto.core.ids import Digest
from tenuto.core.upcasting import lifted, newest_version
from tenuto.errors import NewerStoreError

__all__ = [
    "GENESIS",
    "Record",
    "absent",
    "bodies",
    "decode",
    "encode",
    "fill",
    "is_input",
    "older_form",
    "stored",
]

GENESIS = Digest("0" * 64)
"""`prev` of the first record."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A decoded record. `hash` is that of the bytes it was decoded from."""

    seq: int
    at: int
    prev: Digest
    hash: Digest
    event: Event


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What any record is, of whatever kind and version."""

    at: int
    data: msgspec.Raw
    kind: str
    prev: Digest
    seq: int
    version: int


def _stored_form(kind: type[Event]) -> type[msgspec.Struct]:
    """A record of one kind as it is stored. The union of all of them is read in one go, told apart by `kind`."""
    fields: list[tuple[str, Any]] = [("at", int), ("data", kind), ("prev", Digest), ("seq", int), ("version", int)]
    name = kind.__name__
    return msgspec.defstruct(
        name, fields, frozen=True, forbid_unknown_fields=True, gc=False, tag=name, tag_field="kind"
    )


_encode_event = msgspec.json.Encoder(order="sorted").encode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_StoredForm: Any = Union[tuple(map(_stored_form, EVENTS))]  # noqa: UP007  # made of what is in EVENTS
_decode_stored: Any = msgspec.json.Decoder(_StoredForm).decode
_NEWEST: dict[type, int] = {kind: newest_version(kind.__name__) for kind in EVENTS}
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in EVENTS}
_INPUTS = frozenset(INPUTS)
_TEMPLATE: dict[type, bytes] = {
    kind: b'{"at":%%d,"data":%%b,"kind":"%b","prev":"%%b","seq":%%d,"version":%d}' % (kind.__name__.encode(), newest)
    for kind, newest in _NEWEST.items()
}


def encode(event: Event, *, seq: int, at: int, prev: Digest) -> tuple[Digest, bytes]:
    """The record's hash and bytes. Bodies over `INLINE_MAX` must have been taken out before (`stored`)."""
    body = _TEMPLATE[type(event)] % (at, _encode_event(event), prev.encode(), seq)
    return Digest(sha256(body).hexdigest()), body


def decode(body: bytes) -> Record:
    """Read a record of any version that there was.

    Raises ValueError, saying why, for what is no record; NewerStoreError for a kind or version that is not known yet.
    """
    try:
        found = _decode_stored(body)
    except ValueError:
        older = _lifted(body)
        if older is None:
            raise
        found = _decode_stored(older)
    if found.version != _NEWEST[type(found.data)]:
        found = _decode_stored(_lifted(body))
    return Record(found.seq, found.at, found.prev, Digest(sha256(body).hexdigest()), found.data)


def _lifted(body: bytes) -> bytes | None:
    """A record of an older version as one of the newest; None for one that says it is of the newest."""
    envelope = _decode_envelope(body)
    kind = _KINDS.get(envelope.kind)
    newest = 0 if kind is None else _NEWEST[kind]
    if envelope.version > newest:
        knows = f"knows version {newest} of it" if newest else "does not know that kind"
        raise NewerStoreError(
            f"the record is a {envelope.kind} of version {envelope.version}; this tenuto {knows}",
            fix=f"use a tenuto that knows {envelope.kind} of version {envelope.version}",
        )
    if envelope.version == newest:
        return None
    if envelope.version < 1:
        raise ValueError(f"there is no record of version {envelope.version}")
    data = msgspec.Raw(lifted(envelope.kind, envelope.version, envelope.data))
    return _encode_event(msgspec.structs.replace(envelope, data=data, version=newest))


def older_form(stored: bytes, body: bytes) -> Digest | None:
    """The hash of a stored record that says exactly what `body` says, in an older version of its kind; else None."""
    if stored.rpartition(b":")[2] == body.rpartition(b":")[2]:
        return None  # the versions stand last, and are the same
    try:
        record = decode(stored)
    except (ValueError, NewerStoreError):
        return None
    _, newest = encode(record.event, seq=record.seq, at=record.at, prev=record.prev)
    return record.hash if newest == body else None


def is_input(event: Event) -> bool:
    """Whether the event comes from outside the kernel."""
    return type(event) in _INPUTS


def bodies(event: Event) -> Iterator[tuple[str, Content]]:
    """The bodies an event carries itself or by reference, with the path of each (`reply`, `asks.0.task`)."""
    for field in _BODIES.get(type(event), ()):
        content = getattr(event, field)
        if content is not None:
            yield field, content
    if isinstance(event, StepAdvanced):
        for number, ask in enumerate(event.asks):
            for field in _ASK_BODIES.get(type(ask), ()):
                content = getattr(ask, field)
                if content is not None:
                    yield f"asks.{number}.{field}", content


_BODIES: dict[type, tuple[str, ...]] = {
    ApprovalAnswered: ("details",),
    ApprovalRequested: ("question", "details"),
    CallReconciled: ("result",),
    CallResolved: ("result",),
    ModelReplied: ("reply",),
    PlanLoaded: ("plan",),
    PlanRequested: ("source",),
    RunEnded: ("outputs",),
    RunForked: ("inputs",),
    RunStarted: ("inputs",),
    StepAdvanced: ("returned",),
    ToolCallRequested: ("arguments",),
    ToolReturned: ("result",),
}
_ASK_BODIES: dict[type, tuple[str, ...]] = {
    AskModel: ("prompt", "schema", "system"),
    AskTool: ("arguments",),
    AskAgent: ("schema", "task"),
    AskPerson: ("details", "question"),
}


def absent(event: Event) -> list[Digest]:
    """The bodies that an event names and does not carry."""
    fields = _BODIES.get(type(event))
    if fields is None:
        return []
    if isinstance(event, StepAdvanced):
        return [content.digest for _, content in bodies(event) if not content.at_hand]
    held: list[Content | None] = [getattr(event, field) for field in fields]
    return [content.digest for content in held if content is not None and not content.at_hand]


def stored(event: Event) -> tuple[Event, dict[Digest, bytes]]:
    """The event as a record carries it, and the large bodies that were taken out of it."""
    if type(event) not in _BODIES:
        return event, {}
    out: dict[Digest, bytes] = {}
    changes: dict[str, Content] = {}
    for path, content in bodies(event):
        short = content.stored()
        if short is not content:
            out[content.digest] = content.data
            changes[path] = short
    return (_replaced(event, changes), out) if changes else (event, out)


def fill(event: Event, found: dict[Digest, bytes]) -> Event:
    """The event with large bodies put back. The caller has read and verified them."""
    changes = {path: c.filled(found[c.digest]) for path, c in bodies(event) if not c.at_hand}
    return _replaced(event, changes) if changes else event


def _replaced(event: Event, changes: dict[str, Content]) -> Event:
    plain = {path: content for path, content in changes.items() if "." not in path}
    if isinstance(event, StepAdvanced):
        asks = list(event.asks)
        for path, content in changes.items():
            if path.startswith("asks."):
                _, number, field = path.split(".")
                asks[int(number)] = msgspec.structs.replace(asks[int(number)], **{field: content})
        return msgspec.structs.replace(event, asks=tuple(asks), **plain)
    return msgspec.structs.replace(event, **plain)
