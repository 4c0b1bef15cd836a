"""Records and blobs as they were written, without gaps and never in part."""

from __future__ import annotations

import asyncio

from tenuto.core.canonical import digest
from tenuto.core.ids import RunId
from tenuto.errors import UsageError
from tenuto.ports.journal import NO_HEAD, Fence, StoredRecord
from tenuto.testing.contracts.journal_stores import RUN, JournalStores, chained, head_of, read_all, refused, started

__all__ = ["JournalRecordsContract"]


class JournalRecordsContract:
    """Part of `JournalContract`."""

    # Records

    async def test_a_created_run_reads_back_as_written(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal, 3)
        assert fence == Fence(RUN, 1, session.name)
        assert await read_all(journal) == records
        assert await journal.head(RUN) == head_of(records)

    async def test_appends_follow_without_gap(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal)
        for size in (1, 4, 2, 40):
            batch = chained(size, after=head_of(records))
            await journal.append(fence, head_of(records), batch, {}, alone=size % 2 == 0)
            records += batch
        read = await read_all(journal)
        assert read == records
        assert [r.seq for r in read] == list(range(48))
        assert all(digest(r.body) == r.hash for r in read)

    async def test_bounds_of_a_read(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, _, records = await started(journal, 10)
        assert await read_all(journal, after=3) == records[4:]
        assert await read_all(journal, after=3, upto=6) == records[4:7]
        assert await read_all(journal, after=9) == []
        assert await read_all(journal, upto=99) == records
        assert await read_all(journal, after=5, upto=2) == []

    async def test_a_long_journal_is_read_whole(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal)
        batch = chained(2_500, after=head_of(records))
        await journal.append(fence, head_of(records), batch, {})
        assert await read_all(journal) == records + batch
        assert await read_all(journal, after=1_999) == batch[1_999:]

    async def test_bodies_from_one_byte_to_a_megabyte(self, stores: JournalStores) -> None:
        journal = stores.open()
        session = await journal.open_session("w")
        bodies = [b"0", b"a" * 4_096, bytes(range(256)) * 4_096]
        records = [StoredRecord(seq, digest(body), body) for seq, body in enumerate(bodies)]
        await journal.create(RUN, session, records, {})
        assert await read_all(stores.open()) == records

    async def test_a_reader_never_sees_part_of_a_batch(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        _, fence, records = await started(journal, 4)

        async def write() -> None:
            nonlocal records
            for _ in range(12):
                batch = chained(4, after=head_of(records))
                await journal.append(fence, head_of(records), batch, {})
                records = records + batch

        writing = asyncio.create_task(write())
        ends = []
        while not writing.done():
            ends.append((await other.head(RUN)).seq)
            read = await read_all(other)
            assert [r.seq for r in read] == list(range(len(read)))
            assert len(read) % 4 == 0
            await asyncio.sleep(0)
        await writing
        assert ends == sorted(ends)
        assert await read_all(other) == records

    async def test_runs_do_not_touch_each_other(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal)
        fork = RunId("r1-fork")
        other = await journal.create(fork, session, chained(2, label="fork"), {})
        batch = chained(1, after=head_of(records))
        await journal.append(fence, head_of(records), batch, {})
        assert await read_all(journal, fork) == chained(2, label="fork")
        await journal.delete(other)
        assert await read_all(journal) == records + batch

    async def test_a_batch_with_a_gap_is_a_bug_of_the_caller(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal)
        ahead = chained(3, after=head_of(records))
        await refused(ValueError, journal.append(fence, head_of(records), [ahead[0], ahead[2]], {}))
        await refused(ValueError, journal.append(fence, head_of(records), ahead[1:], {}))
        await refused(ValueError, journal.append(fence, head_of(records), [], {}))
        await refused(ValueError, journal.create(RunId("r2"), session, [], {}))
        assert await read_all(journal) == records

    async def test_unknown_runs_are_named(self, stores: JournalStores) -> None:
        journal = stores.open()
        session = await journal.open_session("w")
        nobody = RunId("nobody")
        for asking in (
            journal.head(nobody),
            read_all(journal, nobody),
            journal.claim(nobody, session),
            journal.ask(nobody, "k", b""),
            journal.asked(nobody),
            journal.snapshot(nobody),
            journal.append(Fence(nobody, 1, session.name), NO_HEAD, chained(1), {}),
        ):
            assert "nobody" in str(await refused(UsageError, asking))

    # Blobs

    async def test_blobs_come_back_as_kept(self, stores: JournalStores) -> None:
        journal = stores.open()
        session = await journal.open_session("w")
        bodies = [b"", b"\x00\xff", b"x" * 16_384]
        first, second, third = [(digest(b), b) for b in bodies]
        fence = await journal.create(RUN, session, chained(1), dict([first]))
        await journal.append(fence, head_of(chained(1)), chained(1, after=head_of(chained(1))), dict([first, second]))
        await journal.put_blobs(dict([second, third]))
        absent = digest(b"absent")
        names = [third[0], absent, first[0], second[0]]
        assert dict(await stores.open().blobs(names)) == dict([first, second, third])
        assert dict(await journal.blobs([])) == {}

    async def test_many_blobs_at_once(self, stores: JournalStores) -> None:
        journal = stores.open()
        bodies = {digest(b"%d" % n): b"%d" % n for n in range(1_500)}
        await journal.put_blobs(bodies)
        assert dict(await journal.blobs(list(bodies))) == bodies

    async def test_a_blob_under_a_wrong_digest_is_refused(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal)
        wrong = {digest(b"a"): b"b"}
        await refused(ValueError, journal.put_blobs(wrong))
        head = head_of(records)
        await refused(ValueError, journal.append(fence, head, chained(1, after=head), wrong))
        assert await journal.head(RUN) == head
