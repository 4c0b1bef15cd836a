"""Reading a SQLite store, with what the store itself can check: gaps, lost ends, rows that are no rows.

A read takes the heads note before it looks at the store, so the note can never run ahead of an intact store.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tenuto.adapters.stores import refusals
from tenuto.adapters.stores.heads import HeadsNote
from tenuto.adapters.stores.sqlite_accounts import ACCOUNT_QUERY
from tenuto.adapters.stores.sqlite_errors import damaged, is_unwritable, translated
from tenuto.adapters.stores.sqlite_schema import Outline, connect, connect_still, outline, prepare
from tenuto.adapters.stores.sqlite_segments import place_of, unpack
from tenuto.adapters.stores.sqlite_transaction import RUN_QUERY, RunRow, head_in, is_text
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.errors import DamagedStoreError, StorageError
from tenuto.ports.journal import Head, InboxRow, RunEntry, StoredRecord

__all__ = ["Reader"]

SEGMENTS_PER_QUERY = 128
"""A reader holds no transaction open between two of these, so it never keeps the log from being merged."""
BLOBS_PER_QUERY = 256

_SEGMENTS = "SELECT place, entries, body FROM chunks WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?"
_BLOBS = "SELECT digest, body FROM digests CROSS JOIN chunks ON id = chunk WHERE digest IN ({0})"
_NEW_BLOBS = (
    "SELECT entries, body FROM chunks WHERE id > (SELECT upto FROM digested) AND place IS NULL AND entries IN ({0})"
)
_RUNS = """
SELECT r.num, r.run, r.epoch, r.owner, s.until_us, s.lost, a.place, a.entries, a.body, z.place, z.entries, z.body
FROM runs r
LEFT JOIN chunks a ON a.place = (
    SELECT place FROM chunks WHERE place BETWEEN r.num << 32 AND (r.num << 32) + 4294967295
    ORDER BY place LIMIT 1
)
LEFT JOIN chunks z ON z.place = (
    SELECT place FROM chunks WHERE place BETWEEN r.num << 32 AND (r.num << 32) + 4294967295
    ORDER BY place DESC LIMIT 1
)
LEFT JOIN sessions s ON s.name = r.owner
WHERE r.deleted_us IS NULL ORDER BY r.num
"""

_NOTHING = StoredRecord(-1, Digest(""), b"")


class Reader:
    """For any thread; one query at a time. A store that is not there yet is empty, and stays unmade."""

    def __init__(self, path: Path, heads: HeadsNote, busy_ms: int) -> None:
        self._path = path
        self._heads = heads
        self._busy_ms = busy_ms
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._still: Outline | None = None  # of a store that is read without locks, as it was when opened
        self._numbers: dict[RunId, int] = {}
        self._closed = False

    def run(self, run: RunId) -> RunRow:
        """A run and its head, checked against the note. UsageError, DamagedStoreError."""
        noted = self._noted(run)
        rows = self._query(RUN_QUERY, (run,)) if is_text(run) else []
        if not rows:
            lost = self._heads.find(run)
            raise refusals.unknown_run(run, str(self._path)) if lost is None else self._heads.loss(run, lost, -1)
        num, epoch, owner, deleted_us = rows[0][:4]
        if deleted_us is not None:
            raise refusals.deleted_run(run, str(self._path))
        try:
            row = RunRow(num, run, epoch, owner, False, head_in(rows[0]))
        except ValueError as error:
            raise damaged(self._path, str(error)) from error
        if run not in self._numbers:
            self._numbers[run] = num
            noted = self._heads.read(num, run)
            if noted is not None and noted.seq > row.head.seq:
                # Taken after the look at the store: the run may have moved on in between. Now it is in order.
                return self.run(run)
        self._heads.check(run, noted, row.head)
        return row

    async def records(self, run: RunId, after: int, upto: int | None) -> AsyncIterator[StoredRecord]:
        for record in self.scan(run, after, upto):
            yield record

    def scan(self, run: RunId, after: int, upto: int | None) -> Iterator[StoredRecord]:
        """As `records`, for who has no loop."""
        row = self.run(run)
        noted = self._noted(run)
        last = row.head.seq if upto is None else min(upto, row.head.seq)
        seq = max(after, -1) + 1
        while seq <= last:
            # Each segment has a record at least; the last that is wanted may lie in the middle of one.
            most = min(last - seq + 1, SEGMENTS_PER_QUERY)
            rows = self._query(_SEGMENTS, (place_of(row.num, seq), place_of(row.num, row.head.seq), most))
            if not rows:
                self.run(run)  # refuses where the run was deleted meanwhile
                raise self._gap(run, seq)
            for segment in rows:
                records = self._unpacked(run, *segment)
                skipped = seq - records[0].seq
                if skipped < 0 or records[-1].seq < seq:
                    raise self._gap(run, seq)
                if noted is not None and seq <= noted.seq <= records[-1].seq:
                    self._heads.check(run, noted, _head_of(records[noted.seq - records[0].seq]))
                if skipped or records[-1].seq > last:
                    records = records[skipped : last - records[0].seq + 1]
                yield from records
                seq = records[-1].seq + 1
                if seq > last:
                    return

    def runs(self, lives: Callable[..., bool]) -> Sequence[RunEntry]:
        entries = []
        for row in self._query(_RUNS):
            _, run, epoch, owner, until_us, lost = row[:6]
            owned = until_us is not None and lives(owner, until_us, lost=bool(lost))
            try:
                first = self._unpacked(run, *row[6:9])[0]
                if first.seq != 0:
                    raise self._gap(run, 0)
                last = self._unpacked(run, *row[9:12])[-1]
            except DamagedStoreError as error:
                entries.append(RunEntry(run, epoch, _NOTHING, _NOTHING, owned, error.what))
            else:
                entries.append(RunEntry(run, epoch, first, last, owned))
        return entries

    def asked(self, run: RunId) -> Sequence[InboxRow]:
        num = self.run(run).num
        rows = self._query("SELECT key, body, at_us FROM inbox WHERE num = ? AND NOT taken ORDER BY id", (num,))
        return [InboxRow(run, key, body, at_us) for key, body, at_us in rows]

    def account(self, root: RunId) -> dict[str, int]:
        return dict(self._query(ACCOUNT_QUERY, (root,))) if is_text(root) else {}

    def blobs(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        found: dict[Digest, bytes] = {}
        for start in range(0, len(digests), BLOBS_PER_QUERY):
            names = [bytes.fromhex(name) for name in digests[start : start + BLOBS_PER_QUERY]]
            marks = ", ".join("?" * len(names))
            rows = self._query(_BLOBS.format(marks), names)
            if len(rows) < len(names):
                # Both in one statement: digests may be entered between two.
                rows = self._query(f"{_BLOBS.format(marks)} UNION ALL {_NEW_BLOBS.format(marks)}", names + names)
            for name, body in rows:
                asked = Digest(name.hex())
                if type(body) is not bytes or digest(body) != asked:
                    raise refusals.damaged_blob(asked, str(self._path))
                found[asked] = body
        return found

    def faults(self) -> list[str]:
        """What is wrong with the file's pages and indexes, at most a few; reads all of it."""
        said = [str(row[0]) for row in self._query("PRAGMA quick_check(5)")]
        return [] if said == ["ok"] else said

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _noted(self, run: RunId) -> Head | None:
        num = self._numbers.get(run)
        return None if num is None else self._heads.read(num, run)

    def _unpacked(self, run: RunId, place: Any, entries: Any, body: Any) -> list[StoredRecord]:
        if place is None:
            raise self._gap(run, 0)
        try:
            return unpack(place, entries, body)
        except ValueError as error:
            raise damaged(self._path, f"{error} (run {run})") from error

    def _gap(self, run: RunId, seq: int) -> DamagedStoreError:
        return damaged(self._path, f"the journal of run {run} has no record {seq}")

    def _query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, translated(self._path):
            if self._closed:
                raise StorageError("the journal was closed", where=str(self._path), fix="open it again")
            if self._connection is None and not self._path.exists():
                return []
            while True:
                connection = self._connection or self._open()
                try:
                    rows = connection.execute(sql, parameters).fetchall()
                except sqlite3.Error:
                    if not self._moved():
                        raise
                else:
                    if not self._moved():
                        return rows
                connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        prepare(self._path, self._busy_ms)
        self._still = None
        try:
            # SQLite looks at the file in there already.
            self._connection = connect(self._path, self._busy_ms, writes=False)
        except sqlite3.Error as error:
            seen = outline(self._path)
            if not is_unwritable(error) or seen.logged:
                raise
            self._connection = connect_still(self._path, self._busy_ms)
            self._still = seen
        return self._connection

    def _moved(self) -> bool:
        """Whether somebody wrote what is read here without locks."""
        return self._still is not None and outline(self._path) != self._still


def _head_of(record: StoredRecord) -> Head:
    return Head(record.seq, record.hash)
