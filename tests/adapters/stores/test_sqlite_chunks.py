"""Records and blobs in one table: stores of the format before are carried over, and no blob is ever out of sight."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores import sqlite_log, sqlite_schema
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.adapters.stores.sqlite_segments import pack, place_of
from tenuto.adapters.stores.sqlite_transaction import UNDIGESTED_MAX
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.ports.journal import Fence, Grant, StoredRecord
from tenuto.testing.contracts.journal import RUN, chained, head_of, read_all, started

MIGRATIONS = Path(sqlite_schema.__file__).parent / "migrations"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def journal_at(path: Path) -> SqliteJournal:
    return SqliteJournal(path, SystemClock())


def blob(number: int) -> dict[Digest, bytes]:
    body = b"body %d" % number
    return {digest(body): body}


def chunks_of(path: Path, condition: str) -> int:
    database = sqlite3.connect(path)
    found: int = database.execute(f"SELECT count(*) FROM chunks WHERE {condition}").fetchone()[0]
    database.close()
    return found


def written_in(path: Path, version: int, records: list[StoredRecord], bodies: dict[Digest, bytes]) -> None:
    """A store as an older tenuto has left it, with one run."""
    old = sqlite3.connect(path)
    old.execute(f"PRAGMA page_size = {sqlite_schema.PAGE_BYTES}")
    old.execute("PRAGMA journal_mode = WAL")
    for script in sorted(MIGRATIONS.glob("*.sql"))[:version]:
        old.executescript(script.read_text("utf-8"))
    old.execute("INSERT INTO runs (num, run, epoch) VALUES (4, ?, 2)", (RUN,))
    rows = [(place_of(4, last), entries, body) for last, entries, body in pack(records)]
    table = "segments" if version == 1 else "chunks"
    old.executemany(f"INSERT INTO {table} (place, epoch, entries, body) VALUES (?, 2, ?, ?)", rows)
    named = [(bytes.fromhex(name), body) for name, body in bodies.items()]
    where = "blobs (digest, body)" if version == 1 else "chunks (entries, body)"
    old.executemany(f"INSERT INTO {where} VALUES (?, ?)", named)
    old.execute(f"PRAGMA application_id = {sqlite_schema.APPLICATION_ID}")
    old.execute(f"PRAGMA user_version = {version}")
    old.commit()
    old.close()


@pytest.mark.parametrize("version", range(1, sqlite_schema.VERSION))
async def test_a_store_of_an_older_format_is_carried_over(path: Path, version: int) -> None:
    records = chained(600)
    bodies = {digest(body): body for body in (b"", b"one", b"x" * 20_000)}
    written_in(path, version, records, bodies)

    journal = journal_at(path)
    assert await read_all(journal) == records
    assert await journal.blobs(list(bodies)) == bodies
    assert await journal.account(RUN) == {}
    session = await journal.open_session("w")
    fence, head = await journal.claim(RUN, session)
    assert (fence.epoch, head) == (3, head_of(records))
    batch = chained(2, after=head)
    await journal.append(fence, head, batch, blob(1), gives=Grant(RUN, {"tokens": 1}))
    await journal.close()

    again = journal_at(path)
    assert await read_all(again) == records + batch
    assert await again.blobs([*bodies, *blob(1)]) == bodies | blob(1)
    assert await again.account(RUN) == {"tokens": 1}
    await again.close()


async def test_blobs_are_seen_before_and_after_their_digests_are_entered(path: Path) -> None:
    journal, other = journal_at(path), journal_at(path)
    _, fence, records = await started(journal)
    kept: dict[Digest, bytes] = {}
    for number in range(UNDIGESTED_MAX):
        batch = chained(1, after=head_of(records))
        new = blob(number)
        await journal.append(fence, head_of(records), batch, new, alone=True)
        records += batch
        kept |= new
        if number % 50 == 0:
            await other.put_blobs(new | blob(-number - 1))
            kept |= blob(-number - 1)
            assert await other.blobs(list(kept)) == kept
    assert await other.blobs(list(kept)) == kept
    assert await journal.blobs(list(kept)) == kept
    await journal.put_blobs(kept)
    await other.put_blobs(kept)
    await journal.close()
    await other.close()
    again = journal_at(path)
    assert await again.blobs(list(kept)) == kept
    await again.close()
    assert UNDIGESTED_MAX // 2 < chunks_of(path, "id <= (SELECT upto FROM digested)") <= chunks_of(path, "1")


async def test_equal_blobs_are_kept_once(path: Path) -> None:
    journal = journal_at(path)
    many = {name: body for number in range(UNDIGESTED_MAX * 2) for name, body in blob(number).items()}
    for _ in range(3):
        await journal.put_blobs(many)
        await journal.put_blobs(blob(5))
    await journal.close()
    again = journal_at(path)
    await again.put_blobs(many | blob(-1))
    await again.close()
    assert chunks_of(path, "place IS NULL") == len(many) + 1


async def test_blobs_written_after_a_run_was_deleted_are_seen(path: Path) -> None:
    """The ids of its last chunks are given again."""
    journal, other = journal_at(path), journal_at(path)
    session, fence, _ = await started(journal)
    long = await journal.create(RunId("long"), session, chained(1), blob(0))
    records = chained(1)
    for number in range(1, UNDIGESTED_MAX + 3):
        batch = chained(1, after=head_of(records))
        await journal.append(long, head_of(records), batch, blob(0))
        records += batch
        if number == UNDIGESTED_MAX - 5:
            await other.put_blobs(blob(-7))
    await journal.delete(long)
    assert chunks_of(path, "id > (SELECT upto FROM digested)") == 0
    kept = blob(0) | blob(-7)
    for number in range(20):
        await (journal if number % 2 else other).put_blobs(blob(number))
        kept |= blob(number)
        assert await journal.blobs(list(kept)) == await other.blobs(list(kept)) == kept
    assert isinstance(fence, Fence)
    await journal.close()
    await other.close()


async def test_a_log_that_grows_is_stretched_and_reads_as_what_was_written(path: Path, tmp_path: Path) -> None:
    journal = journal_at(path)
    _, fence, records = await started(journal)
    log = Path(f"{path}-wal")
    sizes = []
    for _ in range(90):
        batch = chained(1, after=head_of(records), body_bytes=4_000)
        await journal.append(fence, head_of(records), batch, {}, alone=True)
        records += batch
        sizes.append(os.stat(log).st_size)
    assert sizes[0] < sqlite_log.STRETCH_FROM_BYTES
    assert len(set(sizes[-60:])) < 10, "most commits find the log long enough"
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in ("", "-wal", ".heads"):
        shutil.copy(f"{path}{suffix}", copy / f"{path.name}{suffix}")
    crashed = journal_at(copy / path.name)
    assert await read_all(crashed) == records
    await crashed.close()
    await journal.close()
    assert log.name not in os.listdir(path.parent)
