"""What every journal store must do.

```python
class TestMyJournal(JournalContract):
    @pytest.fixture
    async def stores(self, tmp_path):
        harness = MyHarness(tmp_path)      # a JournalStores
        yield harness
        await harness.close()
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

from tenuto.core.canonical import canonical, digest
from tenuto.core.ids import Digest, RunId
from tenuto.errors import FencedError, HeadMovedError, RefusedRequestError, UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.journal import NO_HEAD, Fence, Head, Journal, Session, StoredRecord, StoredSnapshot

__all__ = ["JournalContract", "JournalStores", "chained", "head_of", "read_all", "refused"]

Refusal = TypeVar("Refusal", bound=BaseException)

RUN = RunId("r1")


class JournalStores(Protocol):
    """One durable store, and the means to look at it as several processes would."""

    clock: Clock

    def open(self) -> Journal:
        """Another handle on the same store, as another engine would have it."""
        ...

    async def lapse(self, session: Session) -> None:
        """Let the lease of a session run out without closing it: its process is stopped or cut off."""
        ...


async def refused(kind: type[Refusal], awaitable: Awaitable[object]) -> Refusal:
    """Await, and hand back the error of that very kind; anything else fails the test."""
    try:
        result = await awaitable
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got the result {result!r}")


def chained(count: int, *, after: Head = NO_HEAD, label: str = "x", body_bytes: int = 0) -> list[StoredRecord]:
    """`count` records that follow `after`, each naming the hash before it."""
    records: list[StoredRecord] = []
    previous = after.hash
    for seq in range(after.seq + 1, after.seq + 1 + count):
        body = canonical({"data": label + "." * body_bytes, "prev": previous, "seq": seq})
        previous = digest(body)
        records.append(StoredRecord(seq, previous, body))
    return records


def head_of(records: Sequence[StoredRecord]) -> Head:
    return Head(records[-1].seq, records[-1].hash)


async def read_all(journal: Journal, run: RunId = RUN, **bounds: Any) -> list[StoredRecord]:
    return [record async for record in journal.read(run, **bounds)]


async def started(journal: Journal, count: int = 1, run: RunId = RUN) -> tuple[Session, Fence, list[StoredRecord]]:
    session = await journal.open_session("w")
    records = chained(count)
    return session, await journal.create(run, session, records, {}), records


class JournalContract:
    """Override the fixture `stores` (a JournalStores)."""

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

    # Compare-and-append

    async def test_a_wrong_head_is_refused_and_writes_nothing(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal, 3)
        behind = Head(1, records[1].hash)
        await refused(HeadMovedError, journal.append(fence, behind, chained(1, after=behind, label="y"), {}))
        ahead = Head(7, Digest("0" * 64))
        await refused(HeadMovedError, journal.append(fence, ahead, chained(1, after=ahead), {}))
        liar = Head(2, Digest("f" * 64))
        await refused(HeadMovedError, journal.append(fence, liar, chained(1, after=liar), {}))
        assert await read_all(journal) == records

    async def test_an_identical_batch_is_accepted_again(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal)
        batch = chained(3, after=head_of(records))
        later = chained(2, after=head_of(batch))
        blob = {digest(b"b"): b"b"}
        await journal.append(fence, head_of(records), batch, blob)
        await journal.append(fence, head_of(records), batch, blob)
        await journal.append(fence, head_of(batch), later, {})
        await journal.append(fence, head_of(records), batch, blob, alone=True)
        assert await read_all(journal) == records + batch + later
        # A batch that goes on where the stored one ends is another batch.
        await refused(
            HeadMovedError,
            journal.append(fence, head_of(records), [*batch, *later, *chained(1, after=head_of(later))], {}),
        )

    async def test_old_epochs_and_foreign_sessions_are_fenced(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, fence, records = await started(journal)
        newer, head = await journal.claim(RUN, session)
        assert (newer.epoch, head) == (2, head_of(records))
        batch = chained(1, after=head)
        await refused(FencedError, journal.append(fence, head, batch, {}))
        await refused(FencedError, journal.append(Fence(RUN, 2, "somebody"), head, batch, {}))
        await refused(FencedError, journal.append(Fence(RUN, 3, session.name), head, batch, {}))
        assert await read_all(journal) == records
        await journal.append(newer, head, batch, {})
        await refused(FencedError, journal.append(fence, head, batch, {}))  # identical, and still not ours

    async def test_a_fenced_append_leaves_its_neighbours_alone(self, stores: JournalStores) -> None:
        journal = stores.open()
        session = await journal.open_session("w")
        runs = [RunId(f"run-{n}") for n in range(8)]
        fences = [await journal.create(run, session, chained(1), {}) for run in runs]
        head = head_of(chained(1))
        await journal.claim(runs[3], session)
        blob = {digest(b"only of the fenced one"): b"only of the fenced one"}
        results = await asyncio.gather(
            *(
                journal.append(fence, head, chained(2, after=head), blob if fence.run == runs[3] else {})
                for fence in fences
            ),
            return_exceptions=True,
        )
        assert [type(r) for r in results] == [FencedError if n == 3 else type(None) for n in range(8)]
        assert [(await journal.head(run)).seq for run in runs] == [0 if n == 3 else 2 for n in range(8)]
        assert await journal.blobs(list(blob)) == {}

    async def test_racing_appends_after_one_head_have_one_winner(self, stores: JournalStores) -> None:
        journal = stores.open()
        _, fence, records = await started(journal)
        head = head_of(records)
        results = await asyncio.gather(
            *(journal.append(fence, head, chained(1, after=head, label=str(n)), {}) for n in range(6)),
            return_exceptions=True,
        )
        assert sorted(type(r).__name__ for r in results) == ["HeadMovedError"] * 5 + ["NoneType"]
        assert len(await read_all(journal)) == 2

    async def test_racing_creates_have_one_winner(self, stores: JournalStores) -> None:
        handles = [stores.open() for _ in range(4)]
        sessions = [await handle.open_session("w") for handle in handles]
        results = await asyncio.gather(
            *(h.create(RUN, s, chained(1, label=s.name), {}) for h, s in zip(handles, sessions, strict=True)),
            return_exceptions=True,
        )
        winners = [r for r in results if isinstance(r, Fence)]
        assert len(winners) == 1
        assert all(isinstance(r, (Fence, RefusedRequestError)) for r in results)
        assert await read_all(handles[0]) == chained(1, label=winners[0].session)

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

    # Ownership

    async def test_a_live_owner_keeps_its_run(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        _, fence, records = await started(journal)
        rival = await other.open_session("w")
        await refused(FencedError, other.claim(RUN, rival))
        await journal.append(fence, head_of(records), chained(1, after=head_of(records)), {})
        assert [entry.owned for entry in await other.runs()] == [True]

    async def test_release_then_claim(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        session, fence, records = await started(journal)
        await journal.release(fence)
        await journal.release(fence)
        head = head_of(records)
        await refused(FencedError, journal.append(fence, head, chained(1, after=head), {}))
        assert [entry.owned for entry in await other.runs()] == [False]
        rival = await other.open_session("w")
        newer, _ = await other.claim(RUN, rival)
        assert newer == Fence(RUN, 2, rival.name)
        await journal.release(fence)  # stale: nothing happens
        await refused(FencedError, journal.claim(RUN, session))

    async def test_closing_a_session_gives_its_runs_back(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        session, fence, records = await started(journal)
        await session.close()
        await session.close()
        head = head_of(records)
        await refused(FencedError, journal.append(fence, head, chained(1, after=head), {}))
        await refused(FencedError, journal.create(RunId("r2"), session, chained(1), {}))
        await refused(FencedError, journal.claim(RUN, session))
        assert session.safe_until_us() <= stores.clock.monotonic_us()
        newer, _ = await other.claim(RUN, await other.open_session("w"))
        assert newer.epoch == 2

    async def test_a_lapsed_owner_loses_its_run_and_is_refused_when_it_wakes(self, stores: JournalStores) -> None:
        journal, other = stores.open(), stores.open()
        session, fence, records = await started(journal)
        await stores.lapse(session)
        assert session.safe_until_us() <= stores.clock.monotonic_us()
        assert [entry.owned for entry in await other.runs()] == [False]
        rival = await other.open_session("w")
        newer, head = await other.claim(RUN, rival)
        assert newer == Fence(RUN, 2, rival.name)
        await refused(FencedError, journal.append(fence, head, chained(1, after=head, label="late"), {}))
        await refused(FencedError, journal.append(fence, head, chained(1, after=head, label="late"), {}, alone=True))
        await refused(FencedError, journal.delete(fence))
        await journal.release(fence)
        await other.append(newer, head, chained(1, after=head), {})
        assert await read_all(journal) == records + chained(1, after=head)

    async def test_a_live_session_may_start_effects_for_a_while(self, stores: JournalStores) -> None:
        session = await stores.open().open_session("w")
        assert session.safe_until_us() > stores.clock.monotonic_us()

    async def test_racing_claims_have_one_winner_for_each_epoch(self, stores: JournalStores) -> None:
        journal = stores.open()
        session, _, _ = await started(journal)
        handles = [stores.open() for _ in range(4)]
        rivals = [await handle.open_session("w") for handle in handles]
        holder, epochs = session, [1]
        for _ in range(3):
            await stores.lapse(holder)
            results = await asyncio.gather(
                *(handle.claim(RUN, rival) for handle, rival in zip(handles, rivals, strict=True)),
                return_exceptions=True,
            )
            won = [n for n, result in enumerate(results) if isinstance(result, tuple)]
            assert len(won) == 1, results
            losers = [r for n, r in enumerate(results) if n not in won]
            assert all(isinstance(r, FencedError) for r in losers)
            winner = results[won[0]]
            assert isinstance(winner, tuple)
            fence, head = winner
            epochs.append(fence.epoch)
            await handles[won[0]].append(fence, head, chained(1, after=head), {})
            holder = rivals[won[0]]
            rivals[won[0]] = await handles[won[0]].open_session("w")
        assert epochs == [1, 2, 3, 4]
        assert len(await read_all(journal)) == 4

    async def test_a_claim_reports_the_head_it_fences(self, stores: JournalStores) -> None:
        """Claim against append: whatever was acknowledged before is below the head that the claim reports."""
        journal, other = stores.open(), stores.open()
        session, fence, records = await started(journal)
        rival = await other.open_session("w")
        await stores.lapse(session)
        batch = chained(2, after=head_of(records))
        appended, claimed = await asyncio.gather(
            journal.append(fence, head_of(records), batch, {}), other.claim(RUN, rival), return_exceptions=True
        )
        assert isinstance(claimed, tuple)
        newer, head = claimed
        expected = records + batch if appended is None else records
        assert appended is None or isinstance(appended, FencedError)
        assert head == head_of(expected)
        assert newer.epoch == 2
        assert await read_all(journal) == expected

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
