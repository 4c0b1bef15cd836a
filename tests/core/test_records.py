"""Records as bytes: what is refused, and how it is said."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from tenuto.core.budget import Amount
from tenuto.core.events.run import RunResumed
from tenuto.core.events.step import StepCancelled
from tenuto.core.ids import Digest, StepPath
from tenuto.core.records import GENESIS, decode, encode, older_form
from tenuto.core.upcasting import lifted
from tenuto.errors import NewerStoreError

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
        (b'"version":1', b'"version":0', "no record of version 0"),
        (b'"data":{"path":"a"}', b'"data":{"later":1}', "missing required field `path`"),
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
    with pytest.raises(NewerStoreError, match="a StepCancelled of version 2; this tenuto knows version 1 of it"):
        decode(later)


def test_a_kind_that_is_not_known_yet_is_named() -> None:
    later = BODY.replace(b'"kind":"StepCancelled"', b'"kind":"StepAdmired"')
    with pytest.raises(NewerStoreError, match="a StepAdmired of version 1; this tenuto does not know that kind"):
        decode(later)


OLD = (
    b'{"at":5,"data":{"add_budget":{"tokens":7},"logic":1,"max_parallel":4},"kind":"RunResumed","prev":"%b","seq":3,'
    b'"version":1}' % GENESIS.encode()
)


def test_an_older_version_is_lifted_where_it_is_read_and_keeps_its_hash() -> None:
    record = decode(OLD)
    assert record.event == RunResumed(add_budget=Amount(tokens=7), max_parallel=4)
    assert record.hash == sha256(OLD).hexdigest()
    hashed, body = encode(record.event, seq=3, at=5, prev=GENESIS)
    assert b'"version":2' in body
    assert hashed != record.hash


def test_an_older_form_says_the_same_or_something_else() -> None:
    _, same = encode(decode(OLD).event, seq=3, at=5, prev=GENESIS)
    assert older_form(OLD, same) == sha256(OLD).hexdigest()
    assert older_form(OLD.replace(b":7", b":8"), same) is None
    assert older_form(same, same) is None
    assert older_form(b"{}", same) is None


def test_a_lift_leaves_what_it_does_not_touch_as_it_was_written() -> None:
    odd = b'{"a":1.50,"b":123456789012345678901234567890,"logic":1}'
    assert lifted("RunResumed", 1, msgspec.Raw(odd)) == b'{"a":1.50,"b":123456789012345678901234567890}'
