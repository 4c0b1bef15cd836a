"""What a job may do between BEGIN and COMMIT.

Rows are staged and written by few statements with many rows: Python's `sqlite3` gives up the interpreter lock at
every step, and beside a busy event loop each step then waits for its turn. What was read of a run is remembered
between transactions for as long as no other connection has written (`PRAGMA data_version`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenuto.adapters.stores.sqlite_errors import damaged
from tenuto.adapters.stores.sqlite_segments import HASHES_AT_END, last_of, pack, place_of
from tenuto.core.ids import Digest, RunId
from tenuto.ports.journal import NO_HEAD, Head, StoredRecord

__all__ = ["RUN_QUERY", "RunRow", "Transaction", "head_in", "is_text"]

ROWS_MAX = 32
"""Rows of one statement: each count up to this one has its own prepared one."""
UNDIGESTED_MAX = 256
"""Chunks whose digests are not entered yet: who asks for a blob that is not among the entered looks at these."""

RUN_QUERY = f"""
SELECT r.num, r.epoch, r.owner, r.deleted_us, c.place, {HASHES_AT_END.format("c")}
FROM runs r LEFT JOIN chunks c ON c.place = (
    SELECT place FROM chunks WHERE place BETWEEN r.num << 32 AND (r.num << 32) + 4294967295
    ORDER BY place DESC LIMIT 1
) WHERE r.run = ?
"""
_CHUNKS = tuple(
    f"INSERT INTO chunks (place, epoch, entries, body) VALUES {', '.join(['(?, ?, ?, ?)'] * rows)}"
    for rows in range(ROWS_MAX + 1)
)
_KNOWN = tuple(
    f"SELECT digest FROM digests WHERE digest IN ({', '.join('?' * names)})" for names in range(ROWS_MAX + 1)
)


@dataclass(slots=True)
class RunRow:
    """A run as the open transaction sees it, staged changes included."""

    num: int
    run: RunId
    epoch: int
    owner: str | None
    deleted: bool
    head: Head


def head_in(row: Sequence[Any]) -> Head:
    """The head in a row of (num, epoch, owner, deleted_us, place, hash). ValueError where it cannot be one."""
    return NO_HEAD if row[4] is None else last_of(row[4], row[5])


def is_text(name: str) -> bool:
    """Whether SQLite can hold a name: one with a lone surrogate (of a broken command line) is no run's."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Transaction:
    """Belongs to one connection, which belongs to the writer. Jobs change rows only after all of their checks."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._known: dict[RunId, RunRow] = {}
        self._seen_version = -1
        self._chunks: list[tuple[int | None, int | None, bytes, bytes]] = []
        self._added: set[bytes] = set()  # blobs of chunks that this connection wrote, not entered yet
        self._last_chunk = 0  # of those that this connection wrote since another one did
        self._enter_at = 0  # the id from which on it looks whether digests are to be entered
        self.bytes_staged = 0
        """Bytes of records and blobs that were ever inserted."""
        self.touched: dict[int, RunRow] = {}
        """Runs whose head moved (or that were deleted), for the heads note."""

    def wait_for_others(self, milliseconds: int) -> None:
        """How long `begin` waits while another connection has the store locked."""
        self._connection.execute(f"PRAGMA busy_timeout = {milliseconds}")

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._seen_version:
            self._known.clear()
            self._enter_at = self._last_chunk = 0  # where another connection has deleted, ids come again
            self._seen_version = version
        self.touched = {}

    def commit(self) -> None:
        self._flush()
        self._enter_digests()
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        self._known.clear()
        self._chunks.clear()
        self._added.clear()
        self._enter_at = self._last_chunk = 0
        self.touched = {}
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Any other statement, in order with the staged rows."""
        self._flush()
        return self._connection.execute(sql, parameters)

    def run(self, run: RunId) -> RunRow | None:
        """A run, None where there is none. DamagedStoreError."""
        known = self._known.get(run)
        if known is None:
            row = self.execute(RUN_QUERY, (run,)).fetchone() if is_text(run) else None
            if row is None:
                return None
            try:
                known = RunRow(row[0], run, row[1], row[2], row[3] is not None, head_in(row))
            except ValueError as error:
                raise damaged(self._path, str(error)) from error
            self._known[run] = known
        return known

    def add_run(self, run: RunId, epoch: int, owner: str) -> RunRow:
        cursor = self.execute("INSERT INTO runs (run, epoch, owner) VALUES (?, ?, ?)", (run, epoch, owner))
        num = cursor.lastrowid
        assert num is not None
        row = self._known[run] = RunRow(num, run, epoch, owner, False, NO_HEAD)
        return row

    def disown(self, owner: str) -> None:
        """Take all runs of a session away from it."""
        self.execute("UPDATE runs SET owner = NULL WHERE owner = ?", (owner,))
        for row in self._known.values():
            if row.owner == owner:
                row.owner = None

    def add_records(self, row: RunRow, records: Sequence[StoredRecord]) -> None:
        for last, entries, body in pack(records):
            self._chunks.append((place_of(row.num, last), row.epoch, entries, body))
            self.bytes_staged += len(body)
        row.head = Head(records[-1].seq, records[-1].hash)
        self.touched[row.num] = row

    def add_blobs(self, blobs: Mapping[Digest, bytes]) -> None:
        """Those that are not there yet."""
        names = {bytes.fromhex(name): body for name, body in blobs.items()}
        wanted = [name for name in names if name not in self._added]
        for start in range(0, len(wanted), ROWS_MAX):
            part = wanted[start : start + ROWS_MAX]
            entered = {name for (name,) in self._connection.execute(_KNOWN[len(part)], part)}
            for name in part:
                if name not in entered:
                    self._added.add(name)
                    self._chunks.append((None, None, name, names[name]))
                    self.bytes_staged += len(names[name])

    def delete_records(self, row: RunRow) -> None:
        self.execute(
            "DELETE FROM chunks WHERE place >= ? AND place < ?", (place_of(row.num, 0), place_of(row.num + 1, 0))
        )
        # The ids of the last chunks are given again to those that come next, whose digests are not entered.
        self.execute("UPDATE digested SET upto = min(upto, (SELECT coalesce(max(id), 0) FROM chunks))")
        self._enter_at = self._last_chunk = 0

    def _flush(self) -> None:
        rows, self._chunks = self._chunks, []
        for start in range(0, len(rows), ROWS_MAX):
            part = rows[start : start + ROWS_MAX]
            values = [value for row in part for value in row]
            self._last_chunk = self._connection.execute(_CHUNKS[len(part)], values).lastrowid or 0

    def _enter_digests(self) -> None:
        """Now and then: each would be a page of its own in the commit."""
        if self._last_chunk < self._enter_at:
            return
        upto: int = self._connection.execute("SELECT upto FROM digested").fetchone()[0]
        if self._last_chunk - upto >= UNDIGESTED_MAX:
            self._connection.execute(
                "INSERT OR IGNORE INTO digests SELECT entries, id FROM chunks WHERE id > ? AND place IS NULL", (upto,)
            )
            upto = self._last_chunk
            self._connection.execute("UPDATE digested SET upto = ?", (upto,))
            self._added.clear()
        self._enter_at = upto + UNDIGESTED_MAX
