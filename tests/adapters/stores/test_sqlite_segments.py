"""Segments: records of one append in one row, cut and read back exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.adapters.stores.sqlite_segments import BYTES_MAX, RECORDS_MAX, last_of, pack, place_of, unpack
from tenuto.core.canonical import digest
from tenuto.errors import HeadMovedError
from tenuto.ports.journal import Head, StoredRecord
from tenuto.testing.contracts.journal import chained, head_of, read_all, refused, started


def rows(records: list[StoredRecord]) -> list[tuple[int, bytes, bytes]]:
    return [(place_of(7, last), entries, body) for last, entries, body in pack(records)]


@settings(max_examples=60, deadline=None)
@given(bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=30), first=st.integers(0, 2**31))
def test_what_is_packed_is_unpacked(bodies: list[bytes], first: int) -> None:
    records = [StoredRecord(first + n, digest(body), body) for n, body in enumerate(bodies)]
    (row,) = rows(records)
    assert unpack(*row) == records
    assert last_of(row[0], row[1][-32:]) == head_of(records)


@pytest.mark.parametrize(("count", "body_bytes"), [(RECORDS_MAX * 2 + 1, 0), (9, BYTES_MAX // 2), (2, BYTES_MAX * 3)])
def test_a_large_append_is_cut(count: int, body_bytes: int) -> None:
    records = chained(count, body_bytes=body_bytes)
    cut = rows(records)
    assert len(cut) > 1
    assert [record for row in cut for record in unpack(*row)] == records
    for row in cut:
        assert len(unpack(*row)) <= RECORDS_MAX
        assert len(row[2]) < BYTES_MAX + body_bytes + 200


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_row_that_lost_or_gained_bytes_is_refused(data: st.DataObject) -> None:
    records = chained(data.draw(st.integers(1, 5)))
    ((place, entries, body),) = rows(records)
    cut = data.draw(st.integers(1, min(len(body), len(entries)) - 1))
    for changed in ((entries, body[:-cut]), (entries, body + b"x"), (entries[:-cut], body), (b"", b""), ("", body)):
        with pytest.raises(ValueError, match="not what was written"):
            unpack(place, *changed)


async def test_an_append_is_known_again_however_it_lies_in_rows(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", SystemClock())
    _, fence, records = await started(journal, 3)
    first, second = chained(RECORDS_MAX + 5, after=head_of(records)), chained(2, after=Head(2, records[-1].hash))
    await journal.append(fence, head_of(records), first, {})
    later = chained(4, after=head_of(first))
    await journal.append(fence, head_of(first), later, {})
    await journal.append(fence, head_of(records), first, {})
    await journal.append(fence, head_of(first), later, {}, alone=True)
    assert second == first[:2]
    other = chained(2, after=head_of(records), label="other")
    await refused(HeadMovedError, journal.append(fence, head_of(records), other, {}))
    past = chained(6, after=head_of(first))
    await refused(HeadMovedError, journal.append(fence, head_of(first), past, {}))
    assert await read_all(journal) == records + first + later
    assert await read_all(journal, after=RECORDS_MAX, upto=RECORDS_MAX + 2) == first[RECORDS_MAX - 2 : RECORDS_MAX]
    await journal.close()
