"""Snapshots: a state as bytes, and back. A cached fold, never the truth; it can always be made again.

    {"digest": <of the second line>, "format": 3, "head": ..., "logic": ...}
    {"accounts": ..., ...}

Two lines, so that whoever reads goes through the long one once. One of another format is none.

`spec` is not in it: that is what the run's first record names. Persistent collections are written as plain ones,
the agenda and the queue as lists in their order.
"""

from __future__ import annotations

import hashlib
from typing import Any, get_type_hints

import msgspec
from immutables import Map

from tenuto.core import agenda as queueing
from tenuto.core.agenda import Agenda, Order
from tenuto.core.budget import Account
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, Position, StepPath
from tenuto.core.spec import RunSpec
from tenuto.core.state import Block, Call, ExecutionState, StepState

__all__ = ["read_snapshot", "write_snapshot"]

_Listed = list[tuple[Order, str]]
_PLAIN_TYPES: dict[str, Any] = {
    "accounts": dict[str, Account],
    "agenda": _Listed,
    "blocks": dict[StepPath, Block],
    "calls": dict[Position, Call],
    "group_open": dict[str, int],
    "queue": dict[str, _Listed],
    "steps": dict[StepPath, StepState],
    "timers": dict[str, int],
}
_MAPS = ("accounts", "blocks", "calls", "group_open", "steps", "timers")


FORMAT = 3
HEADER_BYTES_MAX = 1_000


class _Header(msgspec.Struct, frozen=True):
    digest: Digest
    format: int
    head: Digest
    logic: int


_hints = {name: hint for name, hint in get_type_hints(ExecutionState).items() if name != "spec"}
_PlainState = msgspec.defstruct("_PlainState", [(n, _PLAIN_TYPES.get(n, hint)) for n, hint in _hints.items()])
_encode = msgspec.json.Encoder(order="sorted").encode
_decode_header = msgspec.json.Decoder(_Header).decode
_decode_state: Any = msgspec.json.Decoder(_PlainState).decode


def write_snapshot(state: ExecutionState) -> bytes:
    """The state's bytes."""
    fields = {name: getattr(state, name) for name in _hints}
    fields.update({name: dict(fields[name]) for name in _MAPS})
    fields["agenda"] = _listed(state.agenda)
    fields["queue"] = {group: _listed(waiting) for group, waiting in state.queue.items()}
    body = _encode(fields)
    return b"%b\n%b" % (_encode(_Header(digest(body), FORMAT, state.head, state.logic)), body)


def read_snapshot(spec: RunSpec, data: bytes) -> ExecutionState:
    """The state a snapshot holds. ValueError where the bytes are none, or not the ones that were written."""
    end = data.find(b"\n", 0, HEADER_BYTES_MAX) + 1
    header, body = _decode_header(data[:end]), memoryview(data)[end:]
    if header.format != FORMAT:
        raise ValueError(f"snapshots of format {header.format} are not known")
    if hashlib.sha256(body).hexdigest() != header.digest:
        raise ValueError("the snapshot's bytes are not what was written")
    plain = _decode_state(body)
    fields = {name: getattr(plain, name) for name in _hints}
    fields.update({name: Map(fields[name]) for name in _MAPS})
    fields["agenda"] = _heap(plain.agenda)
    fields["queue"] = Map({group: _heap(waiting) for group, waiting in plain.queue.items()})
    return ExecutionState(spec=spec, **fields)


def _listed(agenda: Agenda | None) -> _Listed:
    found: _Listed = []
    while agenda is not None:
        found.append((agenda.order, agenda.label))
        agenda = queueing.pop(agenda)
    return found


def _heap(listed: _Listed) -> Agenda | None:
    agenda: Agenda | None = None
    for order, label in listed:
        agenda = queueing.push(agenda, order, label)
    return agenda
