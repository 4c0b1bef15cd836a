"""Reading a store that may not be written: another user's, an archive, a read-only mount."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores import sqlite_reader
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.errors import DamagedStoreError, StorageError
from tenuto.ports.journal import StoredRecord
from tenuto.testing.contracts.journal import RUN, chained, head_of, read_all, refused, started

NOBODY = 65_534


@pytest.fixture
def path() -> Iterator[Path]:
    """In a folder that every user can reach, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "journal.db"
        os.chmod(folder, 0o755)


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Nobody may write the store; who is root meanwhile is not, since nothing is refused to root."""
    for file in path.parent.iterdir():
        file.chmod(0o555 if file.is_dir() else 0o444)
    path.parent.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: str | Path, content: bytes) -> None:
    Path(path).write_bytes(content)


async def written(path: Path) -> list[StoredRecord]:
    journal = SqliteJournal(path, SystemClock())
    _, _, records = await started(journal)
    await journal.close()
    return records


@pytest.mark.parametrize("log", ["none", "empty"])
async def test_a_store_without_a_log_is_read_as_it_lies_there(path: Path, log: str) -> None:
    records = await written(path)
    if log == "empty":
        put(f"{path}-wal", b"")
    with unwritable(path):
        journal = SqliteJournal(path, SystemClock())
        assert [entry.run for entry in await journal.runs()] == [RUN]
        assert await read_all(journal) == records
        assert "no session can be opened" in str(await refused(StorageError, journal.open_session("w")))
        await journal.close()


async def test_the_log_of_another_who_writes_is_read_too(path: Path) -> None:
    writer = SqliteJournal(path, SystemClock())
    _, fence, records = await started(writer)
    with unwritable(path):
        reader = SqliteJournal(path, SystemClock())
        assert await read_all(reader) == records
        batch = chained(1, after=head_of(records))
        await writer.append(fence, head_of(records), batch, {})
        assert await read_all(reader) == records + batch
        await reader.close()
    path.parent.chmod(0o755)
    await writer.close()


async def test_a_log_that_cannot_be_shared_is_not_ignored(path: Path) -> None:
    """What it holds was acknowledged, so the file alone is not the store."""
    await written(path)
    put(f"{path}-wal", bytes(32))
    with unwritable(path):
        journal = SqliteJournal(path, SystemClock())
        assert "copy the whole folder" in str(await refused(StorageError, journal.runs()))
        await journal.close()


async def test_a_lost_end_is_noticed_there_too(path: Path) -> None:
    records = await written(path)
    older = content_of(path)
    journal = SqliteJournal(path, SystemClock())
    fence, head = await journal.claim(RUN, await journal.open_session("w"))
    await journal.append(fence, head, chained(1, after=head_of(records)), {})
    await journal.close()
    put(path, older)
    with unwritable(path):
        journal = SqliteJournal(path, SystemClock())
        await refused(DamagedStoreError, journal.head(RUN))
        await journal.close()


async def test_what_is_written_meanwhile_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = await written(path)

    def unshareable(*_: object, **__: object) -> sqlite3.Connection:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr(sqlite_reader, "connect", unshareable)
    reader = SqliteJournal(path, SystemClock())
    assert await read_all(reader) == records
    writer = SqliteJournal(path, SystemClock())
    fence, head = await writer.claim(RUN, await writer.open_session("w"))
    batch = chained(1, after=head)
    await writer.append(fence, head, batch, {})
    await refused(StorageError, reader.runs())  # its log cannot be shared
    await writer.close()
    assert await read_all(reader) == records + batch
    await reader.close()
