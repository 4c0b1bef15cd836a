"""The journal in SQLite: the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.ports.clock import Clock
from tenuto.ports.journal import Journal, Session
from tenuto.testing.contracts.journal import JournalContract, JournalStores


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
