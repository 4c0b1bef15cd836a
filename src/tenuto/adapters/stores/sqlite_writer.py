"""Group commit: all writes of a process, from any number of event loops, in as few commits as there can be.

Jobs of one turn of an event loop share a commit at its end, on its own thread. Where that would make the loop wait
(a slow disk, another process, another loop, a checkpoint that is due), the writer's thread takes them; jobs that
arrive meanwhile share the next commit there. A job checks before it changes anything; one that is refused drops
only itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from tenuto.adapters.stores.heads import HeadsNote
from tenuto.adapters.stores.sqlite_errors import breaks_store, is_busy, storage_error, translated
from tenuto.adapters.stores.sqlite_log import Log
from tenuto.adapters.stores.sqlite_pace import Pace
from tenuto.adapters.stores.sqlite_schema import PAGE_BYTES, connect, prepare
from tenuto.adapters.stores.sqlite_transaction import Transaction
from tenuto.errors import StorageError, TenutoError
from tenuto.ports.clock import Clock

__all__ = ["Job", "Writer"]

Result = TypeVar("Result")
Job = Callable[[Transaction], Result]
Ticket = tuple[Job[Any], "asyncio.Future[Any]"]
Outcome = tuple[Any, Exception | None]

JOBS_MAX = 1_000
"""Jobs of one commit of the thread; the rest waits for the next."""
CHECKPOINT_BYTES = 8_192_000
"""A small log is soon written over instead of growing: cheaper than the few more checkpoints cost."""
PAGES_PER_COMMIT = 2
"""What a commit writes beside the bytes it was given, about: half-filled pages and those of indexes."""


class Writer:
    """Owns the writing connection, which is opened by the first job."""

    def __init__(self, path: Path, heads: HeadsNote, busy_ms: int, clock: Clock) -> None:
        self._path = path
        self._heads = heads
        self._busy_ms = busy_ms
        self._clock = clock
        self._pace = Pace()
        self._pending: list[Ticket] = []  # of the loop that flushes them at the end of its turn
        self._pending_loop: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[Ticket | None] = SimpleQueue()
        self._lock = threading.Lock()  # held for the whole of a commit
        self._queueing = threading.Lock()  # so that nothing is queued behind the end
        self._closed = False
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._transaction: Transaction | None = None
        self._refusal: StorageError | None = None
        self._log = Log(path, stretched_to=CHECKPOINT_BYTES)
        self._waits = True
        self._unmerged = 0  # bytes that went into the log since the last checkpoint, about

    async def submit(self, job: Job[Result], *, alone: bool = False) -> Result:
        """Do a job in a commit; durable on return. TenutoError of the job, StorageError where nothing was written.

        `alone`: the caller's loop has nothing else to do, so the commit may run on its thread.
        """
        if alone and not self._pending and self._queue.empty() and self._lock.acquire(blocking=False):
            try:
                return self._only(job, noted=True)
            finally:
                self._lock.release()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        with self._queueing:
            if self._closed:
                raise self._over()
            if self._pending and self._pending_loop is not loop:
                if self._pending_loop is None or self._pending_loop.is_closed():
                    tickets, self._pending = self._pending, []
                    self._hand_over(tickets)
                self._hand_over([(job, future)])
            elif self._pending:
                self._pending.append((job, future))
            elif self._transaction is None or self._unmerged >= CHECKPOINT_BYTES or not self._pace.on_loop():
                self._hand_over([(job, future)])
            else:
                self._pending.append((job, future))
                self._pending_loop = loop
                loop.call_soon(self._flush)
        return await future

    def call(self, job: Job[Result]) -> Result:
        """Do a job in a commit of its own, on this thread."""
        with self._lock:
            return self._only(job)

    def close(self) -> None:
        """Finish what was submitted, then refuse. Idempotent."""
        with self._queueing:
            self._closed = True
            tickets, self._pending = self._pending, []
            if tickets:
                self._hand_over(tickets)
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
        if thread is not None:
            thread.join()
        with self._lock:
            self._refusal = self._refusal or self._over()
            self._transaction = None
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._log.close()

    def _over(self) -> StorageError:
        return StorageError("the journal was closed", where=str(self._path), fix="open it again")

    def _hand_over(self, tickets: list[Ticket]) -> None:
        """Let the thread do it. Under `_queueing`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tenuto-journal", daemon=True)
            self._thread.start()
        for ticket in tickets:
            self._queue.put(ticket)

    def _flush(self) -> None:
        """Commit what this turn of the loop has submitted, unless that would mean to wait for somebody."""
        with self._queueing:
            tickets, self._pending = self._pending, []
            if not tickets:
                return  # taken by `close`, or by the thread
            free = self._queue.empty() and self._lock.acquire(blocking=False)
            if not free:
                self._hand_over(tickets)
                return
        try:
            outcomes = self._commit([job for job, _ in tickets], waits=False, noted=True)
        finally:
            self._lock.release()
        if outcomes is not None:
            _settle([(future, outcome) for (_, future), outcome in zip(tickets, outcomes, strict=True)])
            return
        with self._queueing:
            if not self._closed:
                self._hand_over(tickets)
                return
        _settle([(future, (None, self._over())) for _, future in tickets])

    def _work(self) -> None:
        open_for_more = True
        while open_for_more:
            first = self._queue.get()
            if first is None:
                return
            with self._lock:
                tickets = [first]
                while len(tickets) < JOBS_MAX:
                    try:
                        ticket = self._queue.get_nowait()
                    except Empty:
                        break
                    if ticket is None:
                        open_for_more = False
                        break
                    tickets.append(ticket)
                outcomes = self._commit([job for job, _ in tickets])
            assert outcomes is not None, "only a commit that does not wait goes without outcomes"
            # The lock is free by now, so that who hears of it may commit at once.
            _tell([(future, outcome) for (_, future), outcome in zip(tickets, outcomes, strict=True)])
            if self._unmerged >= CHECKPOINT_BYTES:
                with self._lock:
                    self._checkpoint()

    def _only(self, job: Job[Result], *, noted: bool = False) -> Result:
        result: Result
        outcomes = self._commit([job], noted=noted)
        assert outcomes is not None, "only a commit that does not wait goes without outcomes"
        self._checkpoint()
        result, error = outcomes[0]
        if error is not None:
            raise error
        return result

    def _commit(self, jobs: list[Job[Any]], *, waits: bool = True, noted: bool = False) -> list[Outcome] | None:
        """Do the jobs in one transaction. None where the store is locked and `waits` is not set: nothing was done.

        `noted`: it runs on a loop's thread, so what it takes shows whether more may.
        """
        if self._refusal is not None:
            return [(None, self._refusal)] * len(jobs)
        try:
            transaction = self._transaction or self._open()
        except StorageError as error:
            return [(None, error)] * len(jobs)
        try:
            if not self._begun(transaction, waits=waits):
                return None
            self._log.stretch()
            staged = transaction.bytes_staged
            outcomes = [_attempt(job, transaction) for job in jobs]
            started_us = self._clock.monotonic_us()
            transaction.commit()
            if noted:
                self._pace.note(self._clock.monotonic_us() - started_us, len(jobs))
            self._unmerged += transaction.bytes_staged - staged + PAGES_PER_COMMIT * PAGE_BYTES
            self._check_log()
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was written, and every caller must hear of it
            return [(None, self._rolled_back(transaction, error))] * len(jobs)
        self._heads.write(
            {num: None if row.deleted else (row.run, row.head) for num, row in transaction.touched.items()}
        )
        return outcomes

    def _begun(self, transaction: Transaction, *, waits: bool) -> bool:
        if waits != self._waits:
            transaction.wait_for_others(self._busy_ms if waits else 0)
            self._waits = waits
        try:
            transaction.begin()
        except sqlite3.OperationalError as error:
            if waits or not is_busy(error):
                raise
            return False
        return True

    def _checkpoint(self) -> None:
        """Merge the log into the file, when enough is in it.

        SQLite's own checkpoints keep silent about a disk that fails. What was acknowledged is safe in the log until
        one succeeded, and nothing is added to it after one that failed.
        """
        if self._unmerged < CHECKPOINT_BYTES or self._connection is None or self._refusal is not None:
            return
        self._unmerged = 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            if not is_busy(error):
                self._refusal = storage_error(error, self._path)

    def _check_log(self) -> None:
        if not self._log.looked_at():
            self._refusal = StorageError(
                "the store was removed while it was in use",
                where=str(self._path),
                fix="put it back, or restore a backup",
            )
            raise self._refusal

    def _rolled_back(self, transaction: Transaction, error: Exception) -> Exception:
        try:
            transaction.roll_back()
        except sqlite3.Error as second:
            error = second if breaks_store(second) else error
        if isinstance(error, sqlite3.Error):
            answer = storage_error(error, self._path)
            if breaks_store(error):
                self._refusal = answer
            return answer
        return error

    def _open(self) -> Transaction:
        prepare(self._path, self._busy_ms)
        with translated(self._path):
            self._connection = connect(self._path, self._busy_ms, writes=True)
        self._transaction = Transaction(self._connection, self._path)
        return self._transaction


def _attempt(job: Job[Any], transaction: Transaction) -> Outcome:
    try:
        return job(transaction), None
    except TenutoError as refusal:
        return None, refusal


def _tell(settled: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    """Resolve futures on their loops, one call for each loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for future, outcome in settled:
        loops.setdefault(future.get_loop(), []).append((future, outcome))
    for loop, pairs in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, pairs)
        except RuntimeError:
            # That loop was closed: nobody waits there any more.
            continue


def _settle(pairs: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, (result, error) in pairs:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
