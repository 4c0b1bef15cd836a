"""The journal in SQLite: the contract, and what this store adds to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.core.canonical import digest
from tenuto.core.ids import RunId
from tenuto.errors import StorageError
from tenuto.ports.clock import Clock
from tenuto.ports.journal import Journal, Session
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


class SqliteStores(JournalStores):
    """Every handle has its own connections, threads and locks, as another process would."""

    def __init__(self, path: Path) -> None:
        self.clock: Clock = SystemClock()
        self.path = path
        self.journals: list[SqliteJournal] = []

    def open(self) -> Journal:
        journal = SqliteJournal(self.path, self.clock)
        self.journals.append(journal)
        return journal

    async def lapse(self, session: Session) -> None:
        for journal in self.journals:
            await journal.expire(session.name)

    async def close(self) -> None:
        for journal in self.journals:
            await journal.close()


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[SqliteStores]:
        stores = SqliteStores(tmp_path / "store" / "journal.db")
        yield stores
        await stores.close()


def commits_in(log: Path) -> int:
    """Commits in a write-ahead log: SQLite syncs it once for each."""
    data = log.read_bytes()
    page_bytes = int.from_bytes(data[8:12], "big")
    frames = (data[at : at + 24] for at in range(32, len(data), 24 + page_bytes))
    return sum(any(frame[4:8]) for frame in frames if frame[8:16] == data[16:24])


class QuickDisk(SystemClock):
    """A clock by which no commit takes any time."""

    def monotonic_us(self) -> int:
        return 0


async def test_appends_that_arrive_together_share_a_commit(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    log = Path(f"{path}-wal")
    journal = SqliteJournal(path, QuickDisk(), renewing=False)
    session = await journal.open_session("w")
    runs = [RunId(f"run-{n}") for n in range(50)]
    fences = await asyncio.gather(*(journal.create(run, session, chained(1), {}) for run in runs))
    head = head_of(chained(1))

    before = commits_in(log)
    await journal.append(fences[0], head, chained(4, after=head), {digest(b"reply"): b"reply"}, alone=True)
    assert commits_in(log) == before + 1

    await asyncio.gather(*(journal.append(fence, head, chained(2, after=head), {}) for fence in fences[1:]))
    assert commits_in(log) == before + 2
    assert all([(await journal.head(run)).seq == 2 for run in runs[1:]])

    # Each of them believes that it is the last one at work.
    heads = [await journal.head(run) for run in runs]
    await asyncio.gather(
        *(
            journal.append(fence, head, chained(1, after=head), {}, alone=True)
            for fence, head in zip(fences, heads, strict=True)
        )
    )
    assert commits_in(log) == before + 3
    await journal.close()


async def test_a_closed_journal_refuses_and_keeps_no_descriptor(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", SystemClock())
    _, fence, records = await started(journal)
    await journal.close()
    head = head_of(records)
    for asking in (
        journal.append(fence, head, chained(1, after=head), {}),
        journal.append(fence, head, chained(1, after=head), {}, alone=True),
        journal.head(RUN),
        journal.open_session("w"),
    ):
        assert "closed" in str(await refused(StorageError, asking))
    held = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]  # noqa: ASYNC240 - not a disk
    assert not [target for target in held if str(tmp_path) in target]


def test_journals_on_several_loops_and_threads_share_a_store(tmp_path: Path) -> None:
    """One journal used from four event loops, beside forty-six others on the same file."""
    path = tmp_path / "journal.db"
    shared = SqliteJournal(path, SystemClock())
    others = [SqliteJournal(path, SystemClock(), renewing=False) for _ in range(46)]

    async def drive(journal: SqliteJournal, name: str, alone: bool) -> None:
        session = await journal.open_session("w")
        batch = chained(2, label=name)
        fence = await journal.create(RunId(name), session, batch, {})
        for _ in range(5):
            after = head_of(batch)
            batch = chained(2, after=after, label=name)
            await journal.append(fence, after, batch, {digest(name.encode()): name.encode()}, alone=alone)

    def loop(number: int) -> None:
        async def main() -> None:
            mine = others[number::4]
            await asyncio.gather(
                *(drive(shared, f"shared-{number}-{n}", n == 0) for n in range(5)),
                *(drive(journal, f"own-{number}-{n}", n == 0) for n, journal in enumerate(mine)),
            )

        asyncio.run(main())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(loop, range(4)))

    async def check() -> None:
        entries = await shared.runs()
        assert len(entries) == 66
        for entry in entries:
            first = chained(2, label=entry.run)
            assert await read_all(shared, entry.run) == first + chained(10, after=head_of(first), label=entry.run)
        for journal in (*others, shared):
            await journal.close()

    asyncio.run(check())
