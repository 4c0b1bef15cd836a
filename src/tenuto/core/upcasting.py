"""Older forms of records: which versions there were, and how what they say is said today.

A kind of record that changes gets the next version, and the form before it a lift: a pure function from the fields of
a record's `data` to those of the version after it. Lifts are applied where records are read, one after another; what
is stored stays as it is, and so do its hashes. Fields are JSON as it was written, so what a lift does not touch keeps
its bytes. docs/journal.md lists the versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

__all__ = ["LIFTS", "Fields", "Lift", "lifted", "newest_version"]

Fields = dict[str, msgspec.Raw]
Lift = Callable[[Fields], Fields]


def _run_resumed_1(fields: Fields) -> Fields:
    """It named the logic, which is that of the run's start in every journal that was ever written."""
    return {name: value for name, value in fields.items() if name != "logic"}


LIFTS: Mapping[str, tuple[Lift, ...]] = {
    "RunResumed": (_run_resumed_1,),
}
"""Kind -> the lifts from version 1, 2, ...: their number and one is the version that is written today."""

_decode = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def newest_version(kind: str) -> int:
    """The version in which records of a kind are written."""
    return len(LIFTS.get(kind, ())) + 1


def lifted(kind: str, version: int, data: msgspec.Raw) -> bytes:
    """The data of a record of a version, from 1, in the newest one. Raises ValueError for what is no JSON object."""
    fields = _decode(data)
    for lift in LIFTS.get(kind, ())[version - 1 :]:
        fields = lift(fields)
    return _encode(fields)
