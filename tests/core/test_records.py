"""Records as bytes: what is refused, and how it is said."""

from __future__ import annotations

import pytest

from tenuto.core.events.step import StepCancelled
from tenuto.core.ids import Digest, StepPath
from tenuto.core.records import GENESIS, decode, encode

_, BODY = encode(StepCancelled(path=StepPath("a")), seq=7, at=5, prev=GENESIS)


def test_a_record_is_read_as_it_was_written() -> None:
    hashed, _ = encode(StepCancelled(path=StepPath("a")), seq=7, at=5, prev=GENESIS)
    record = decode(BODY)
    assert (record.seq, record.at, record.prev, record.hash) == (7, 5, GENESIS, hashed)
    assert record.event == StepCancelled(path=StepPath("a"))
    assert encode(record.event, seq=7, at=5, prev=Digest("1" * 64))[0] != hashed


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'"version":1', b'"version":2', "record format 2 is not known"),
        (b'"data":{"path":"a"}', b'"data":{"later":1}', "missing required field `path`"),
        (b'"kind":"StepCancelled"', b'"kind":"StepAdmired"', "the kind 'StepAdmired' is not known"),
        (b'"seq":7', b'"seq":7,"signed":true', "unknown field `signed`"),
        (b'"seq":7', b'"seq":"7"', "Expected `int`"),
        (b'"at":5,', b"", "missing required field `at`"),
    ],
)
def test_what_is_no_record_is_refused(old: bytes, new: bytes, why: str) -> None:
    assert old in BODY
    with pytest.raises(ValueError, match=why):
        decode(BODY.replace(old, new))


def test_a_later_format_is_named_before_what_is_wrong_with_its_event() -> None:
    later = BODY.replace(b'"version":1', b'"version":2').replace(b'"path":"a"', b'"paths":["a"]')
    with pytest.raises(ValueError, match="record format 2 is not known"):
        decode(later)
