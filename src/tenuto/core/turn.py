"""A turn: one input, and everything that follows from it until all is waiting again.

`Turn` holds the records of the turn and the commands that their commit releases. The same function drives live
runs, resumes and replays; only who feeds the inputs differs.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tenuto.core.commands import Command, Conclude, intent
from tenuto.core.decide import TURN_LONG, decide
from tenuto.core.events import Event, Input
from tenuto.core.evolve import evolve
from tenuto.core.ids import Digest
from tenuto.core.records import encode, stored
from tenuto.core.state import ExecutionState

__all__ = ["TURN_MAX", "Entry", "Recorded", "Turn", "take"]

TURN_MAX = 20 * TURN_LONG
"""Records of the longest turn: one that does not end even so is a fault of the kernel, not of a plan."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One record of a turn: as an event, and as it is stored."""

    seq: int
    hash: Digest
    body: bytes
    event: Event


class Turn(msgspec.Struct, frozen=True, gc=False):
    """`state` is pending until `entries` are durable. `blobs` are the bodies they name, small and large."""

    state: ExecutionState
    entries: list[Entry]
    commands: list[Command]
    blobs: dict[Digest, bytes]


Recorded = Callable[[int, Digest, bytes], tuple[Digest, bytes]]


def take(state: ExecutionState, event: Input, *, at: int, recorded: Recorded | None = None) -> Turn:
    """Fold in one input and all that the kernel derives from it.

    `recorded` is given the seq, hash and bytes of each record, and gives back those that stand in a journal: replay
    goes on from what was written, also where that is an older form of the same.
    """
    entries: list[Entry] = []
    commands: list[Command] = []
    blobs: dict[Digest, bytes] = {}
    state = _record(state, event, at, entries, blobs, recorded)
    while (command := decide(state)) is not None:
        if len(entries) > TURN_MAX:
            raise AssertionError(f"the turn of {type(event).__name__} at seq {entries[0].seq} does not end")
        state = _record(state, intent(command), at, entries, blobs, recorded)
        if not isinstance(command, Conclude):
            commands.append(command)
    return Turn(state, entries, commands, blobs)


def _record(
    state: ExecutionState,
    event: Event,
    at: int,
    entries: list[Entry],
    blobs: dict[Digest, bytes],
    recorded: Recorded | None,
) -> ExecutionState:
    short, large = stored(event)
    if large:
        blobs.update(large)
    seq = state.seq + 1
    head, body = encode(short, seq=seq, at=at, prev=state.head)
    if recorded is not None:
        head, body = recorded(seq, head, body)
    entries.append(Entry(seq, head, body, event))
    return evolve(state, event, seq=seq, at=at, head=head)
