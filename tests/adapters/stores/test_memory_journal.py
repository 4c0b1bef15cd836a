"""The journal in memory: the contract, and the seams a simulator needs."""

from __future__ import annotations

import asyncio

import pytest

from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.core.ids import RunId
from tenuto.errors import FencedError, StorageError
from tenuto.ports.clock import Clock
from tenuto.ports.journal import Journal, Session
from tenuto.testing.clock import ManualClock
from tenuto.testing.contracts.journal import (
    RUN,
    JournalContract,
    JournalStores,
    chained,
    head_of,
    read_all,
    refused,
    started,
)


class MemoryStores(JournalStores):
    def __init__(self) -> None:
        self.clock: Clock = ManualClock()
        self.journal = InMemoryJournal(self.clock)

    def open(self) -> Journal:
        return self.journal

    async def lapse(self, session: Session) -> None:
        self.journal.expire(session.name)


class TestInMemoryJournal(JournalContract):
    @pytest.fixture
    def stores(self) -> MemoryStores:
        return MemoryStores()


class Faults:
    """Raises at one point, once."""

    def __init__(self) -> None:
        self.at = ""
        self.seen: list[str] = []

    def __call__(self, point: str) -> None:
        self.seen.append(point)
        if point == self.at:
            self.at = ""
            raise StorageError(f"injected at {point}")


async def test_a_fault_before_writes_nothing_and_one_after_hides_the_answer() -> None:
    faults = Faults()
    journal = InMemoryJournal(ManualClock(), faults=faults)
    _, fence, records = await started(journal)
    batch = chained(2, after=head_of(records))

    faults.at = "append:before"
    await refused(StorageError, journal.append(fence, head_of(records), batch, {}))
    assert await read_all(journal) == records

    faults.at = "append:after"
    await refused(StorageError, journal.append(fence, head_of(records), batch, {}))
    assert await read_all(journal) == records + batch

    await journal.append(fence, head_of(records), batch, {})
    assert await read_all(journal) == records + batch
    assert "create:before" in faults.seen


async def test_an_engine_dropped_in_mid_commit_leaves_nothing_behind() -> None:
    clock = ManualClock()
    journal = InMemoryJournal(clock, commit_us=100)
    creating = asyncio.create_task(started(journal))
    await asyncio.sleep(0)
    assert not creating.done()
    clock.advance_us(100)
    session, fence, records = await creating
    appending = asyncio.create_task(journal.append(fence, head_of(records), chained(1, after=head_of(records)), {}))
    await asyncio.sleep(0)
    appending.cancel()
    await refused(asyncio.CancelledError, appending)
    assert await read_all(journal) == records
    journal.expire(session.name)
    journal.expire("unknown")


async def test_an_owner_is_checked_when_the_commit_happens_not_when_it_is_asked_for() -> None:
    clock = ManualClock()
    slow = InMemoryJournal(clock, commit_us=100)

    async def passing(awaitable: asyncio.Task[object]) -> None:
        while not awaitable.done():
            await asyncio.sleep(0)
            clock.advance_us(clock.next_due_us() or 0)

    starting = asyncio.create_task(started(slow))
    await passing(starting)
    session, fence, records = starting.result()
    rival = await slow.open_session("w")
    slow.expire(session.name)
    claiming = asyncio.create_task(slow.claim(RUN, rival))
    await asyncio.sleep(0)
    late = asyncio.create_task(slow.append(fence, head_of(records), chained(1, after=head_of(records)), {}))
    await asyncio.sleep(0)
    clock.advance_us(100)
    newer, head = await claiming
    await refused(FencedError, late)
    assert (newer.epoch, head) == (2, head_of(records))


async def test_a_closed_journal_says_so() -> None:
    journal = InMemoryJournal(ManualClock())
    await started(journal)
    await journal.close()
    await journal.close()
    await refused(StorageError, journal.head(RunId("r1")))
    await refused(StorageError, journal.open_session("w"))
