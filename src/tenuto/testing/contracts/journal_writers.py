"""One writer for each run: compare-and-append, fences, sessions, leases, claims."""

from __future__ import annotations

import asyncio

from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.errors import FencedError, HeadMovedError, RefusedRequestError
from tenuto.ports.journal import Fence, Head
from tenuto.testing.contracts.journal_stores import RUN, JournalStores, chained, head_of, read_all, refused, started

__all__ = ["JournalWritersContract"]


class JournalWritersContract:
    """Part of `JournalContract`."""

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
