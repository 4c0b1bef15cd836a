"""How records lie in the table: a *segment* holds records of one append, one after another, in one row.

`place` is that of the last record, `body` the records' bytes without anything between them, and `entries` has the
length and the hash of each, so that bytes which changed are told from those that were written. A row per record
would cost four times the rows, and with them most of a commit's work.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from itertools import count as count_from
from typing import Any

from tenuto.core.ids import Digest
from tenuto.ports.journal import Head, StoredRecord

__all__ = ["HASHES_AT_END", "SEQ_BITS", "last_of", "pack", "place_of", "unpack"]

SEQ_BITS = 32
RECORDS_MAX = 512
BYTES_MAX = 262_144
"""A segment that reaches either is followed by another: who reads one record never reads much more."""
HASHES_AT_END = "substr({0}.entries, -32)"
"""The SQL of the hash of a segment's last record."""

_SEQ = (1 << SEQ_BITS) - 1
_ENTRY = struct.Struct("<I32s")
# The constructor of a NamedTuple is a Python function, and costs more than all the rest of reading a record.
_stored: Callable[[tuple[int, str, bytes]], StoredRecord] = partial(tuple.__new__, StoredRecord)

Segment = tuple[int, bytes, bytes]
"""The seq of its last record, `entries` and `body`."""


def place_of(num: int, seq: int) -> int:
    return num << SEQ_BITS | seq


def pack(records: Sequence[StoredRecord]) -> Iterator[Segment]:
    """Records of one append, as rows."""
    entries: list[bytes] = []
    bodies: list[bytes] = []
    size = 0
    for seq, hashed, body in records:
        entries.append(_ENTRY.pack(len(body), bytes.fromhex(hashed)))
        bodies.append(body)
        size += len(body)
        if size >= BYTES_MAX or len(bodies) == RECORDS_MAX:
            yield seq, b"".join(entries), b"".join(bodies)
            entries, bodies, size = [], [], 0
    if bodies:
        yield records[-1].seq, b"".join(entries), b"".join(bodies)


def unpack(place: int, entries: Any, body: Any) -> list[StoredRecord]:
    """The records of a row. ValueError, with what is wrong, for one that was not written so."""
    if type(entries) is not bytes or type(body) is not bytes or not entries or len(entries) % _ENTRY.size:
        raise ValueError("a row of records is not what was written")
    count = len(entries) // _ENTRY.size
    first = (place & _SEQ) - count + 1
    fields = struct.unpack("<" + "I32s" * count, entries)
    ends = list(accumulate(fields[::2], initial=0))
    if ends[-1] != len(body) or first < 0:
        raise ValueError(f"records {first} to {first + count - 1} are not what was written")
    bodies = map(body.__getitem__, map(slice, ends, ends[1:]))
    return list(map(_stored, zip(count_from(first), map(bytes.hex, fields[1::2]), bodies, strict=False)))


def last_of(place: int, hashed: Any) -> Head:
    """The head that a segment ends with. ValueError where that cannot be one."""
    if type(hashed) is not bytes or len(hashed) != 32:
        raise ValueError("a record's hash is not 32 bytes")
    return Head(place & _SEQ, Digest(hashed.hex()))
