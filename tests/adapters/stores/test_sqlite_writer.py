"""Where and when commits run, and that nobody waits for somebody else's disk or lock."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores import sqlite_writer
from tenuto.adapters.stores.heads import HeadsNote
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.adapters.stores.sqlite_pace import Pace
from tenuto.adapters.stores.sqlite_transaction import Transaction
from tenuto.adapters.stores.sqlite_writer import Writer
from tenuto.core.canonical import digest
from tenuto.errors import StorageError
from tenuto.ports.clock import Clock
from tenuto.testing.contracts.journal import chained, head_of, read_all, refused, started

HERE = threading.get_ident()


class Disk(SystemClock):
    """A clock by which every commit takes `us`."""

    def __init__(self, us: int) -> None:
        self.us = us
        self._read = 0

    def monotonic_us(self) -> int:
        self._read += self.us
        return self._read


def writer_at(path: Path, clock: Clock, busy_ms: int = 5_000) -> Writer:
    return Writer(path / "journal.db", HeadsNote(path / "journal.db.heads"), busy_ms, clock)


async def place(writer: Writer, *, alone: bool = False) -> str:
    """The thread on which a job runs."""
    ran = await writer.submit(lambda _: threading.get_ident(), alone=alone)
    return "loop" if ran == HERE else "thread"


async def test_a_quick_disk_is_waited_for_on_the_loop_and_a_slow_one_by_the_thread(tmp_path: Path) -> None:
    disk = Disk(100)
    writer = writer_at(tmp_path, disk)
    assert await place(writer) == "thread"  # it opens the store
    assert [await place(writer) for _ in range(20)] == ["loop"] * 20
    disk.us = 10_000
    places = [await place(writer) for _ in range(200)]
    assert places.count("loop") < 15
    assert set(places[5:12]) == {"thread"}
    assert await place(writer, alone=True) == "loop"
    disk.us = 100
    places = [await place(writer) for _ in range(1_024)]
    assert places[-500:].count("thread") <= 3  # whenever a checkpoint is due
    writer.close()


def test_a_commit_of_many_jobs_may_take_longer() -> None:
    pace = Pace()
    for _ in range(9):
        pace.note(20_000, 1_000)
    assert pace.on_loop()
    for _ in range(5):
        pace.note(20_000, 10)
    assert not pace.on_loop()


async def test_jobs_of_one_turn_share_a_commit_and_the_next_turn_has_its_own(tmp_path: Path) -> None:
    writer = writer_at(tmp_path, Disk(100))
    await place(writer)

    transactions: list[object] = []

    def job(txn: Transaction) -> None:
        if all(txn.touched is not known for known in transactions):
            transactions.append(txn.touched)  # made anew by each transaction

    await asyncio.gather(*(writer.submit(job) for _ in range(50)))
    assert len(transactions) == 1
    await asyncio.gather(*(writer.submit(job, alone=n > 0) for n in range(50)))
    assert len(transactions) == 2
    writer.close()


async def test_the_loop_goes_on_while_another_process_has_the_store(tmp_path: Path) -> None:
    writer = writer_at(tmp_path, Disk(100))
    await place(writer)
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(place(writer))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    other.execute("ROLLBACK")  # a loop that waited could not have come here
    other.close()
    assert await waiting == "thread"
    assert await place(writer) == "loop"
    writer.close()


def test_what_a_closed_loop_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    writer = writer_at(tmp_path, Disk(100))
    asyncio.run(place(writer))
    left = asyncio.new_event_loop()
    ran = threading.Event()

    def job(_: Transaction) -> None:
        ran.set()

    abandoned = writer.submit(job)
    left.call_soon(lambda: started_by_hand.append(abandoned.send(None)))
    started_by_hand: list[object] = []
    left.call_soon(left.stop)
    left.run_forever()
    left.close()
    assert not ran.is_set()
    assert asyncio.run(place(writer)) == "thread"
    assert ran.is_set()
    abandoned.close()
    writer.close()


async def test_closing_does_first_what_was_submitted(tmp_path: Path) -> None:
    writer = writer_at(tmp_path, Disk(100))
    await place(writer)
    task = asyncio.create_task(place(writer))
    await asyncio.sleep(0)
    writer.close()
    assert await task == "thread"
    await refused(StorageError, writer.submit(lambda _: None))


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_the_log_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, SystemClock())
    _, fence, records = await started(journal)
    for n in range(60):
        batch = chained(1, after=head_of(records), body_bytes=400_000)
        await journal.append(fence, head_of(records), batch, {}, alone=n % 2 == 0)
        records = batch
    assert size_of(path) > sqlite_writer.CHECKPOINT_BYTES
    assert size_of(Path(f"{path}-wal")) < sqlite_writer.CHECKPOINT_BYTES * 3 // 2
    await journal.close()


@pytest.fixture
def short_of_space() -> Iterator[None]:
    """No file may grow beyond 400 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (409_600, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("short_of_space")
async def test_a_checkpoint_that_fails_ends_writing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "CHECKPOINT_BYTES", 1)
    journal = SqliteJournal(tmp_path / "journal.db", SystemClock(), renewing=False)
    _, fence, records = await started(journal)

    async def write_on() -> None:
        while True:
            batch = chained(1, after=head_of(records), body_bytes=60_000)
            await journal.append(fence, head_of(records), batch, {}, alone=True)
            records.extend(batch)

    refusal = await refused(StorageError, write_on())
    assert len(records) > 4
    assert str(tmp_path) in refusal.where
    await refused(StorageError, journal.put_blobs({digest(b"x"): b"x"}))
    assert await read_all(journal) == records
    await journal.close()
    again = SqliteJournal(tmp_path / "journal.db", SystemClock())
    assert await read_all(again) == records
    await again.close()
