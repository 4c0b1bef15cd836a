"""What a store keeps around its journals: requests, snapshots, the list of runs, tombstones."""

from __future__ import annotations

from tenuto.core.ids import Digest, RunId
from tenuto.errors import FencedError, HeadMovedError, RefusedRequestError, UsageError
from tenuto.ports.journal import Head, StoredSnapshot
from tenuto.testing.contracts.journal_stores import RUN, JournalStores, chained, head_of, read_all, refused, started

__all__ = ["JournalKeepingContract"]


class JournalKeepingContract:
    """Part of `JournalContract`."""

    # Requests

    async def test_the_first_answer_for_a_key_wins(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        _, fence, records = await started(journal)
        answers = [await other.ask(RUN, key, body) for key, body in (("a", b"1"), ("b", b"2"), ("a", b"3"))]
        assert [answer.accepted for answer in answers] == [True, True, False]
        assert answers[2].row == answers[0].row
        assert [(row.key, row.body) for row in await journal.asked(RUN)] == [("a", b"1"), ("b", b"2")]
        head = head_of(records)
        batch = chained(1, after=head)
        await journal.append(fence, head, batch, {}, taken=["a"])
        await journal.append(fence, head, batch, {}, taken=["a"])
        assert [row.key for row in await other.asked(RUN)] == ["b"]
        late = await other.ask(RUN, "a", b"4")
        assert (late.accepted, late.row.body) == (False, b"1")

    async def test_a_refused_append_takes_nothing(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal)
        await journal.ask(RUN, "a", b"1")
        head = head_of(records)
        newer, _ = await journal.claim(RUN, session)
        await refused(FencedError, journal.append(fence, head, chained(1, after=head), {}, taken=["a"]))
        wrong = Head(5, Digest("0" * 64))
        await refused(HeadMovedError, journal.append(newer, wrong, chained(1, after=wrong), {}, taken=["a"]))
        assert [row.key for row in await journal.asked(RUN)] == ["a"]

    async def test_a_request_counts_from_when_it_came(self, stores: JournalStores) -> None:
        journal = stores.open()
        await started(journal)
        before = stores.clock.now_us()
        answer = await journal.ask(RUN, "a", b"1")
        assert before <= answer.row.at_us <= stores.clock.now_us()
        assert list(await journal.asked(RUN)) == [answer.row]

    # Snapshots, listing, deletion

    async def test_the_newest_snapshot_is_kept(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal, 3)
        assert await journal.snapshot(RUN) is None
        early, late = (StoredSnapshot(n, records[n].hash, b"state %d" % n) for n in (1, 2))
        await journal.put_snapshot(fence, early)
        await journal.put_snapshot(fence, late)
        assert await journal.snapshot(RUN) == late
        await journal.claim(RUN, session)
        await journal.put_snapshot(fence, early)
        await journal.drop_snapshot(fence)
        assert await journal.snapshot(RUN) == late

    async def test_a_dropped_snapshot_is_gone_and_another_may_follow(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal, 3)
        await journal.drop_snapshot(fence)
        for n in (1, 2):
            snapshot = StoredSnapshot(n, records[n].hash, b"\nstate\n" * n)
            await journal.put_snapshot(fence, snapshot)
            assert await journal.snapshot(RUN) == snapshot
            await journal.drop_snapshot(fence)
            assert await stores.open().snapshot(RUN) is None

    async def test_runs_are_listed_oldest_first(self, stores: JournalStores) -> None:
        journal = stores.open()
        assert list(await journal.runs()) == []
        session = await journal.open_session("w")
        for name in ("zulu", "alpha", "mike"):
            await journal.create(RunId(name), session, chained(2, label=name), {})
        entries = await stores.open().runs()
        assert [entry.run for entry in entries] == ["zulu", "alpha", "mike"]
        assert [entry.epoch for entry in entries] == [1, 1, 1]
        assert [entry.first for entry in entries] == [chained(2, label=e.run)[0] for e in entries]
        assert [entry.last for entry in entries] == [chained(2, label=e.run)[1] for e in entries]

    async def test_a_deleted_run_leaves_a_tombstone(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal)
        await journal.ask(RUN, "a", b"1")
        await journal.delete(fence)
        await journal.delete(fence)
        assert list(await journal.runs()) == []
        await refused(UsageError, read_all(journal))
        await refused(UsageError, journal.head(RUN))
        await refused(UsageError, journal.claim(RUN, session))
        await refused(UsageError, journal.ask(RUN, "b", b"2"))
        await refused(RefusedRequestError, journal.create(RUN, session, chained(1), {}))
        head = head_of(records)
        await refused(FencedError, journal.append(fence, head, chained(1, after=head), {}))

    async def test_the_store_outlives_its_handles(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal, 5)
        snapshot = StoredSnapshot(4, records[4].hash, b"state")
        await journal.put_snapshot(fence, snapshot)
        watching = stores.open()
        if watching is not journal:
            await journal.close()
            await journal.close()
        assert await read_all(watching) == records
        assert await watching.snapshot(RUN) == snapshot
