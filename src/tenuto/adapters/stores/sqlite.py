"""Journals of many runs in one SQLite file: the store of one machine.

Any number of processes may share the file. Writes of one process go through its `Writer` (group commit), reads
through a connection of their own; both are opened when first needed, so that looking for a store does not make
one. Beside the file live the `heads` note, a folder with one lock file for each open session, and one with snapshots.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from tenuto.adapters.stores import refusals
from tenuto.adapters.stores.accounts import check_grants
from tenuto.adapters.stores.heads import HeadsNote
from tenuto.adapters.stores.snapshot_files import SnapshotFiles
from tenuto.adapters.stores.sqlite_accounts import give, take
from tenuto.adapters.stores.sqlite_errors import damaged
from tenuto.adapters.stores.sqlite_reader import Reader
from tenuto.adapters.stores.sqlite_segments import place_of, unpack
from tenuto.adapters.stores.sqlite_sessions import SessionRegistry
from tenuto.adapters.stores.sqlite_transaction import RunRow, Transaction, is_text
from tenuto.adapters.stores.sqlite_writer import Writer
from tenuto.core.ids import Digest, RunId
from tenuto.errors import UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.journal import (
    NO_HEAD,
    Answer,
    Fence,
    Grant,
    Head,
    InboxRow,
    Journal,
    RunEntry,
    Session,
    StoredRecord,
    StoredSnapshot,
)

__all__ = ["SqliteJournal"]

LEASE_TTL_US = 15_000_000
BUSY_MS = 10_000
"""How long a write waits for other processes before it fails with StorageError."""


class SqliteJournal(Journal):
    """For any number of threads and event loops. `renewing=False` leaves sessions to lapse unless `renew` is called.

    A StorageError after a disk failure is final: nothing more is written through this object, because what the
    disk holds is no longer known. Open a new one and resume.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        lease_ttl_us: int = LEASE_TTL_US,
        busy_ms: int = BUSY_MS,
        renewing: bool = True,
    ) -> None:
        self._path = path
        self._clock = clock
        self._heads = HeadsNote(path.with_name(f"{path.name}.heads"))
        self._writer = Writer(path, self._heads, busy_ms, clock)
        self._latest: RunId | None = None
        self._reader = Reader(path, self._heads, busy_ms)
        self._sessions = SessionRegistry(
            path.with_name(f"{path.name}.sessions"), clock, lease_ttl_us, self._writer, renewing=renewing
        )
        self._snapshots = SnapshotFiles(path.with_name(f"{path.name}.snapshots"))

    async def open_session(self, worker: str) -> Session:
        return await self._sessions.open_session(worker)

    async def expire(self, session_name: str) -> None:
        """Let a session lapse at once, as when its process died or slept too long: its runs may be claimed."""
        await self._sessions.expire(session_name)

    def renew(self, session_name: str) -> None:
        """What the renewing thread does every third of the lease. StorageError; nothing for an unknown session."""
        self._sessions.renew(session_name)

    async def create(
        self,
        run: RunId,
        session: Session,
        records: Sequence[StoredRecord],
        blobs: Mapping[Digest, bytes],
        *,
        takes: Grant | None = None,
        gives: Grant | None = None,
    ) -> Fence:
        refusals.check_batch(NO_HEAD, records)
        refusals.check_blobs(blobs)
        check_grants(takes, gives)
        if not is_text(run):
            raise UsageError(f"no run can be called {run!r}", fix="choose another run id")

        def job(txn: Transaction) -> Fence:
            self._sessions.require_live(txn, session.name)
            if txn.run(run) is not None:
                raise refusals.already_exists(run)
            self._check_next_number(txn)
            if takes is not None:
                take(txn, takes)
            if gives is not None:
                give(txn, gives)
            row = txn.add_run(run, 1, session.name)
            txn.add_records(row, records)
            txn.add_blobs(blobs)
            return Fence(run, 1, session.name)

        return await self._writer.submit(job)

    async def append(
        self,
        fence: Fence,
        expected: Head,
        records: Sequence[StoredRecord],
        blobs: Mapping[Digest, bytes],
        *,
        taken: Sequence[str] = (),
        gives: Grant | None = None,
        alone: bool = False,
    ) -> None:
        refusals.check_batch(expected, records)
        refusals.check_blobs(blobs)
        check_grants(gives)
        keys = [key for key in taken if is_text(key)]  # no other can have come

        def job(txn: Transaction) -> None:
            row = _owned(txn, fence)
            if row.head != expected:
                if not _stored_already(txn, row, records, self._path):
                    raise refusals.head_moved(fence.run, expected, row.head)
            else:
                txn.add_records(row, records)
                if gives is not None:
                    give(txn, gives)
            if blobs:
                txn.add_blobs(blobs)
            for key in keys:
                txn.execute("UPDATE inbox SET taken = 1 WHERE num = ? AND key = ?", (row.num, key))

        # Runs that end their waits in the same turn of the loop each believe to be the last one: not alone at all.
        alone = alone and self._latest == fence.run
        self._latest = fence.run
        await self._writer.submit(job, alone=alone)

    async def account(self, root: RunId) -> Mapping[str, int]:
        return self._reader.account(root)

    def read(self, run: RunId, *, after: int = -1, upto: int | None = None) -> AsyncIterator[StoredRecord]:
        return self._reader.records(run, after, upto)

    async def head(self, run: RunId) -> Head:
        return self._reader.run(run).head

    async def runs(self) -> Sequence[RunEntry]:
        return self._reader.runs(self._sessions.lives)

    async def claim(self, run: RunId, session: Session) -> tuple[Fence, Head]:
        def job(txn: Transaction) -> tuple[Fence, Head]:
            row = _existing(txn, run, self._heads)
            self._sessions.require_live(txn, session.name)
            owner = row.owner
            if owner is not None and owner != session.name and self._sessions.is_live(txn, owner):
                raise refusals.owned_elsewhere(run, owner)
            # The transaction holds the write lock, so every noted head is in it.
            self._heads.check(run, self._heads.read(row.num, run), row.head)
            changed = txn.execute(
                "UPDATE runs SET epoch = epoch + 1, owner = ? WHERE num = ? AND epoch = ? AND owner IS ?",
                (session.name, row.num, row.epoch, owner),
            ).rowcount
            assert changed == 1, "the guard of a claim was checked in this transaction"
            if owner is not None and owner != session.name:
                txn.execute("UPDATE sessions SET lost = 1 WHERE name = ?", (owner,))
            row.epoch += 1
            row.owner = session.name
            return Fence(run, row.epoch, session.name), row.head

        return await self._writer.submit(job)

    async def release(self, fence: Fence) -> None:
        def job(txn: Transaction) -> None:
            row = txn.run(fence.run)
            if row is not None and (row.epoch, row.owner) == (fence.epoch, fence.session):
                txn.execute("UPDATE runs SET owner = NULL WHERE num = ?", (row.num,))
                row.owner = None

        await self._writer.submit(job)

    async def ask(self, run: RunId, key: str, body: bytes) -> Answer:
        at_us = self._clock.now_us()

        def job(txn: Transaction) -> Answer:
            row = _existing(txn, run, self._heads)
            accepted = txn.execute(
                "INSERT OR IGNORE INTO inbox (num, key, body, at_us) VALUES (?, ?, ?, ?)", (row.num, key, body, at_us)
            ).rowcount
            held = txn.execute("SELECT body, at_us FROM inbox WHERE num = ? AND key = ?", (row.num, key)).fetchone()
            return Answer(bool(accepted), InboxRow(run, key, held[0], held[1]))

        return await self._writer.submit(job)

    async def asked(self, run: RunId) -> Sequence[InboxRow]:
        return self._reader.asked(run)

    async def put_snapshot(self, fence: Fence, snapshot: StoredSnapshot) -> None:
        if self._owns(fence):
            self._snapshots.put(fence.run, snapshot)

    async def drop_snapshot(self, fence: Fence) -> None:
        if self._owns(fence):
            self._snapshots.drop(fence.run)

    async def snapshot(self, run: RunId) -> StoredSnapshot | None:
        self._reader.run(run)
        return self._snapshots.read(run)

    async def put_blobs(self, blobs: Mapping[Digest, bytes]) -> None:
        refusals.check_blobs(blobs)
        if blobs:
            await self._writer.submit(lambda txn: txn.add_blobs(blobs))

    async def blobs(self, digests: Sequence[Digest]) -> Mapping[Digest, bytes]:
        return self._reader.blobs(digests)

    async def delete(self, fence: Fence) -> None:
        def job(txn: Transaction) -> None:
            row = txn.run(fence.run)
            if row is not None and row.deleted:
                return
            row = _owned(txn, fence)
            txn.delete_records(row)
            txn.execute("DELETE FROM inbox WHERE num = ?", (row.num,))
            txn.execute("UPDATE runs SET deleted_us = ?, owner = NULL WHERE num = ?", (self._clock.now_us(), row.num))
            row.deleted, row.owner, row.head = True, None, NO_HEAD
            txn.touched[row.num] = row

        await self._writer.submit(job)
        self._snapshots.drop(fence.run)

    async def close(self) -> None:
        self._sessions.close()
        self._writer.close()
        self._reader.close()
        self._heads.close()

    def _owns(self, fence: Fence) -> bool:
        try:
            row = self._reader.run(fence.run)
        except UsageError:
            return False
        return (row.epoch, row.owner) == (fence.epoch, fence.session)

    def _check_next_number(self, txn: Transaction) -> None:
        """A new run must not take the number, and with it the noted head, of one that the store has lost."""
        newest: int = txn.execute("SELECT coalesce(max(num), 0) FROM runs").fetchone()[0]
        if self._heads.occupied(newest + 1):
            raise damaged(self._path, "it acknowledged a run that it no longer holds")


def _existing(txn: Transaction, run: RunId, heads: HeadsNote) -> RunRow:
    row = txn.run(run)
    if row is None:
        noted = heads.find(run)
        raise refusals.unknown_run(run) if noted is None else heads.loss(run, noted, -1)
    if row.deleted:
        raise refusals.deleted_run(run)
    return row


def _owned(txn: Transaction, fence: Fence) -> RunRow:
    row = txn.run(fence.run)
    if row is None:
        raise refusals.unknown_run(fence.run)
    if row.epoch != fence.epoch or row.owner != fence.session or row.deleted:
        raise refusals.fenced(fence, row.epoch, row.owner)
    return row


def _stored_already(txn: Transaction, row: RunRow, records: Sequence[StoredRecord], path: Path) -> bool:
    seq, last = records[0].seq, records[-1].seq
    stored: list[Digest] = []
    segments = txn.execute(
        "SELECT place, entries, body FROM chunks WHERE place BETWEEN ? AND ? ORDER BY place",
        (place_of(row.num, seq), place_of(row.num, max(row.head.seq, 0))),
    )
    for segment in segments:
        try:
            found = unpack(*segment)
        except ValueError as error:
            raise damaged(path, str(error)) from error
        stored.extend(record.hash for record in found if seq <= record.seq <= last)
        if found[-1].seq >= last:
            break
    return stored == [record.hash for record in records]
