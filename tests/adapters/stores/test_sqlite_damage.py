"""What a damaged, foreign, newer or full store says, and that it is left as it was."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores import sqlite_errors
from tenuto.adapters.stores.heads import HeadsNote
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.errors import DamagedStoreError, NewerStoreError, StorageError, UsageError
from tenuto.ports.journal import Fence, Head
from tenuto.testing.contracts.journal import RUN, chained, head_of, read_all, refused, started

BLOB = b"the body of a reply " * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def journal_at(path: Path) -> SqliteJournal:
    return SqliteJournal(path, SystemClock(), busy_ms=200)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, content: bytes | bytearray) -> None:
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


async def written(path: Path, batches: int = 10) -> None:
    """A store with one run of `batches` appends and a blob, closed: all is in the file itself."""
    journal = journal_at(path)
    _, fence, records = await started(journal)
    for _ in range(batches):
        batch = chained(3, after=head_of(records), body_bytes=200)
        await journal.append(fence, head_of(records), batch, {digest(BLOB): BLOB})
        records += batch
    await journal.close()


async def whole(path: Path) -> bool:
    """Whether a verifying reader gets everything. False: something was found damaged."""
    journal = journal_at(path)
    try:
        records = await read_all(journal)
        previous = "0" * 64
        for seq, record in enumerate(records):
            if record.seq != seq or digest(record.body) != record.hash or previous.encode() not in record.body:
                return False
            previous = record.hash
        return len(records) == 31 and (await journal.blobs([digest(BLOB)])) == {digest(BLOB): BLOB}
    except (StorageError, UsageError):
        return False
    finally:
        await journal.close()


async def test_flipped_bits_never_change_what_is_read(path: Path) -> None:
    await written(path)
    good = content_of(path)
    harmless = 0
    for at in range(8 * 120, len(good) * 8, len(good) * 8 // 150 + 1):
        data = bytearray(good)
        data[at // 8] ^= 1 << at % 8
        overwrite(path, data)
        harmless += await whole(path)
    assert harmless < 150  # many bits lie in free space; none of the others may pass
    overwrite(path, good)
    assert await whole(path)


async def test_a_changed_body_is_found_by_its_digest(path: Path) -> None:
    await written(path)
    data = content_of(path)
    assert data.count(BLOB) == 1
    overwrite(path, data.replace(BLOB, BLOB.replace(b"reply", b"reqly", 1)))
    journal = journal_at(path)
    error = await refused(DamagedStoreError, journal.blobs([digest(BLOB)]))
    assert digest(BLOB) in str(error)
    await journal.close()


async def test_a_missing_record_is_found(path: Path) -> None:
    await written(path)
    database = sqlite3.connect(path)
    database.execute("DELETE FROM chunks WHERE place % 4294967296 = 6")
    database.commit()
    database.close()
    journal = journal_at(path)
    await refused(DamagedStoreError, read_all(journal))
    await journal.close()


def cut_log(path: Path, copy: Path) -> None:
    """A copy of a store in use whose log has one bad frame near its end: SQLite drops it and all that follow."""
    copy.mkdir()
    for suffix in ("", "-wal", ".heads"):
        shutil.copy(f"{path}{suffix}", copy / f"{path.name}{suffix}")
    shutil.copytree(f"{path}.sessions", copy / f"{path.name}.sessions")  # nobody holds the locks of these
    log = copy / f"{path.name}-wal"
    data = bytearray(log.read_bytes())
    data[len(data) - 5_000] ^= 1
    log.write_bytes(data)


async def test_a_lost_end_is_noticed_wherever_one_looks(path: Path, tmp_path: Path) -> None:
    journal = journal_at(path)
    _, fence, records = await started(journal)
    for _ in range(5):
        batch = chained(2, after=head_of(records))
        await journal.append(fence, head_of(records), batch, {})
        records += batch
    cut_log(path, tmp_path / "copy")
    await journal.close()

    damaged = journal_at(tmp_path / "copy" / path.name)
    for asking in (damaged.head(RUN), read_all(damaged), read_all(damaged, after=2), damaged.asked(RUN)):
        error = await refused(DamagedStoreError, asking)
        assert "seq 10" in str(error)
        assert "seq 8" in str(error)
        assert RUN in str(error)
    session = await damaged.open_session("w")
    assert "seq 10" in str(await refused(DamagedStoreError, damaged.claim(RUN, session)))
    await damaged.close()

    # The note is no truth: without it the rest can be read.
    (tmp_path / "copy" / f"{path.name}.heads").unlink()
    rest = journal_at(tmp_path / "copy" / path.name)
    assert await read_all(rest) == records[:9]
    await rest.close()


async def test_a_lost_run_is_noticed_and_its_place_is_not_taken(path: Path, tmp_path: Path) -> None:
    journal = journal_at(path)
    session, _, _ = await started(journal)
    await journal.create(RunId("r2"), session, chained(1), {})
    cut_log(path, tmp_path / "copy")
    await journal.close()

    damaged = journal_at(tmp_path / "copy" / path.name)
    assert await read_all(damaged) == chained(1)
    assert "r2" in str(await refused(DamagedStoreError, damaged.head(RunId("r2"))))
    session = await damaged.open_session("w")
    assert "r2" in str(await refused(DamagedStoreError, damaged.claim(RunId("r2"), session)))
    await refused(DamagedStoreError, damaged.create(RunId("r3"), session, chained(1), {}))
    await refused(UsageError, damaged.head(RunId("r4")))
    await damaged.close()


async def test_a_torn_stale_or_foreign_note_proves_nothing(path: Path) -> None:
    await written(path)
    note = path.with_name("journal.db.heads")
    good = content_of(note)
    stale = HeadsNote(note)
    for data in (b"", good[:10], good[:80], good[:-30] + b"\xff" * 30, b"another format\n" * 20, bytes(128)):
        overwrite(note, data)
        assert await whole(path)
    overwrite(note, good)
    stale.write({1: (RUN, Head(4, (await record_hashes(path))[4]))})
    assert await whole(path)
    stale.write({1: (RUN, Head(4, digest(b"another record")))})
    assert not await whole(path)
    stale.close()


async def record_hashes(path: Path) -> list[Digest]:
    journal = journal_at(path)
    hashes = [record.hash for record in await read_all(journal)]
    await journal.close()
    return hashes


async def test_a_newer_store_is_left_alone(path: Path) -> None:
    await written(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    journal = journal_at(path)
    assert "99" in str(await refused(NewerStoreError, journal.runs()))
    await refused(NewerStoreError, journal.open_session("w"))
    await refused(NewerStoreError, journal.put_blobs({digest(b""): b""}))
    await journal.close()
    assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before


async def test_a_newer_version_that_is_only_in_the_log_is_seen(path: Path, tmp_path: Path) -> None:
    await written(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / path.name
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    database.close()
    before = content_of(copy), content_of(Path(f"{copy}-wal"))
    journal = journal_at(copy)
    await refused(NewerStoreError, journal.runs())
    await journal.close()
    assert (content_of(copy), content_of(Path(f"{copy}-wal"))) == before


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0 but short", b"x" * 5_000])
async def test_a_file_that_is_no_store_is_left_alone(path: Path, content: bytes) -> None:
    overwrite(path, content)
    journal = journal_at(path)
    for asking in (journal.runs(), journal.put_blobs({digest(b""): b""})):
        assert str(path) in str(await refused(DamagedStoreError, asking))
    await journal.close()
    assert content_of(path) == content


async def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    for version in (0, 1, 5):
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE IF NOT EXISTS theirs (x)")
        database.execute(f"PRAGMA user_version = {version}")
        database.close()
        before = content_of(path)
        journal = journal_at(path)
        await refused(DamagedStoreError, journal.runs())
        await refused(DamagedStoreError, journal.put_blobs({digest(b""): b""}))
        await journal.close()
        assert content_of(path) == before


async def test_looking_for_a_store_does_not_make_one(path: Path) -> None:
    journal = journal_at(path.parent / "nowhere" / "journal.db")
    assert list(await journal.runs()) == []
    assert await journal.blobs([digest(b"")]) == {}
    await refused(UsageError, journal.head(RUN))
    await journal.close()
    assert list(path.parent.iterdir()) == []


async def test_a_store_removed_in_use_acknowledges_nothing_more(path: Path) -> None:
    journal = journal_at(path)
    _, fence, records = await started(journal)
    remove(Path(f"{path}-wal"))
    batch = chained(1, after=head_of(records))
    error = await refused(StorageError, journal.append(fence, head_of(records), batch, {}, alone=True))
    assert "removed" in str(error)
    assert str(path) in error.where
    await refused(StorageError, journal.append(fence, head_of(records), batch, {}))
    await journal.close()


async def test_names_that_sqlite_cannot_hold_are_no_runs(path: Path) -> None:
    journal = journal_at(path)
    session, fence, records = await started(journal)
    odd = RunId("r\udcff")
    batch = chained(1, after=head_of(records))
    results = await asyncio.gather(
        journal.create(odd, session, chained(1), {}),
        journal.append(Fence(odd, 1, session.name), head_of(records), batch, {}),
        journal.claim(odd, session),
        journal.append(fence, head_of(records), batch, {}, taken=["\udcff"]),
        journal.head(odd),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [UsageError, UsageError, UsageError, type(None), UsageError]
    assert await read_all(journal) == records + batch
    await journal.close()


async def test_a_damaged_run_fails_alone(path: Path) -> None:
    journal = journal_at(path)
    session, fence, records = await started(journal)
    good = await journal.create(RunId("r2"), session, chained(1), {})
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("UPDATE chunks SET entries = x'00' WHERE place = 1 << 32")
    database.close()
    head = head_of(records)
    results = await asyncio.gather(
        journal.append(fence, head, chained(1, after=head), {}),
        journal.append(good, head, chained(1, after=head), {}),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [DamagedStoreError, type(None)]
    await journal.close()


async def test_a_busy_store_is_given_up_after_a_while(path: Path) -> None:
    await written(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal = journal_at(path)
    assert len(await read_all(journal)) == 31
    error = await refused(StorageError, journal.put_blobs({digest(b"x"): b"x"}))
    assert "another process" in str(error)
    other.execute("ROLLBACK")
    await journal.put_blobs({digest(b"x"): b"x"})
    other.close()
    await journal.close()


@pytest.fixture
def short_of_space() -> Iterator[None]:
    """No file may grow beyond 128 KiB: writes fail half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (131_072, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("short_of_space")
async def test_an_append_that_does_not_fit_leaves_nothing_behind(path: Path) -> None:
    journal = journal_at(path)
    _, fence, records = await started(journal)
    large = chained(1, after=head_of(records), body_bytes=400_000)
    error = await refused(StorageError, journal.append(fence, head_of(records), large, {}))
    assert str(path) in error.where
    assert error.fix
    # Whether a later one may follow depends on what the disk said; either way nothing is torn.
    again = await refused(StorageError, journal.append(fence, head_of(records), large, {}, alone=True))
    assert str(path) in again.where
    assert await read_all(journal) == records
    await journal.close()
    assert await read_all(journal_at(path)) == records


@pytest.mark.parametrize(
    ("free", "inodes", "words"),
    [
        (10_000_000, 9, "the disk failed (disk I/O error); check the disk (dmesg, smartctl), then resume"),
        (10, 9, "the disk is full (disk I/O error); free some space, then resume"),
        (10_000_000, 0, "the disk is full (disk I/O error); free some space, then resume"),
    ],
)
def test_an_io_error_for_want_of_space_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, words: str
) -> None:
    found = os.statvfs_result((4096, 4096, 10_000_000, free, free, 100, inodes, inodes, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    assert str(sqlite_errors.storage_error(error, path)) == f"{path}: {words}"
    assert sqlite_errors.breaks_store(error)


async def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    journal = journal_at(tmp_path / "file" / "journal.db")
    assert str(tmp_path / "file") in str(await refused(StorageError, journal.open_session("w")))
    assert str(tmp_path / "file") in str(await refused(StorageError, journal.put_blobs({digest(b""): b""})))
    await journal.close()
    folder = journal_at(tmp_path)
    assert str(tmp_path) in str(await refused(StorageError, folder.put_blobs({digest(b""): b""})))
    await folder.close()
