"""Sessions of a SQLite store: who is alive, and who may therefore not be robbed of its runs.

A session is a row with the time until which it lives, renewed by one thread however many runs it owns. The time
is the machine's wall clock, which all processes of the store share. Between renewals a lock on a file tells more
quickly that a process is dead: the kernel drops it with the process, so a run of a killed engine can be claimed
at once. Neither decides who may write: the epoch of the run does, at every append.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tenuto.adapters.stores import refusals
from tenuto.adapters.stores.sqlite_transaction import Transaction
from tenuto.adapters.stores.sqlite_writer import Writer
from tenuto.errors import StorageError
from tenuto.ports.clock import Clock
from tenuto.ports.journal import Session

__all__ = ["SessionRegistry", "SqliteSession"]

MARGIN_PARTS = 5
"""A fifth of a lease's time is kept back: no effect starts in it."""
RENEWALS_PER_TTL = 3
FORGOTTEN_US = 24 * 3600 * 1_000_000
"""How long ago a session must have lapsed before its row and file are removed."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class SqliteSession(Session):
    def __init__(self, registry: SessionRegistry, name: str, descriptor: int) -> None:
        self._registry = registry
        self._name = name
        self._descriptor: int | None = descriptor
        self._safe_until_us = 0

    @property
    def name(self) -> str:
        return self._name

    def safe_until_us(self) -> int:
        return self._safe_until_us

    async def close(self) -> None:
        await self._registry.close_session(self)

    def extend(self, safe_until_us: int) -> None:
        self._safe_until_us = safe_until_us

    def let_go(self) -> None:
        """Drop the file lock: whoever looks now sees a dead process."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class SessionRegistry:
    """The sessions that this process opened on one store, and the means to judge those of others."""

    def __init__(self, folder: Path, clock: Clock, ttl_us: int, writer: Writer, *, renewing: bool) -> None:
        self._folder = folder
        self._clock = clock
        self._ttl_us = ttl_us
        self._writer = writer
        self._renewing = renewing
        self._sessions: dict[str, SqliteSession] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def open_session(self, worker: str) -> SqliteSession:
        name = f"{_UNSAFE.sub('_', worker)[:64]}-{os.getpid()}-{os.urandom(6).hex()}"
        session = SqliteSession(self, name, self._take(name))
        try:
            await self._writer.submit(self._enter(session))
        except BaseException:
            self._forget(session)
            raise
        with self._lock:
            self._sessions[name] = session
            if self._renewing and self._thread is None:
                self._thread = threading.Thread(target=self._keep_alive, name="tenuto-lease", daemon=True)
                self._thread.start()
        return session

    async def close_session(self, session: SqliteSession) -> None:
        with self._lock:
            known = self._sessions.pop(session.name, None)
        if known is None:
            return
        try:
            await self._writer.submit(lambda txn: _leave(txn, [session.name]))
        except BaseException:
            self._end(session)
            raise
        self._forget(session)

    def renew(self, name: str) -> None:
        """One write, whatever the session owns. A session that lapsed lives on unless a run was taken from it."""
        session = self._sessions.get(name)
        if session is None:
            return
        started_us = self._clock.monotonic_us()
        until_us = self._clock.now_us() + self._ttl_us
        kept = self._writer.call(
            lambda txn: (
                txn.execute("UPDATE sessions SET until_us = ? WHERE name = ? AND NOT lost", (until_us, name)).rowcount
            )
        )
        session.extend(started_us + self._safe_us if kept else min(session.safe_until_us(), started_us))

    async def expire(self, name: str) -> None:
        """Let a session lapse at once, as when its process died or slept too long."""
        await self._writer.submit(lambda txn: txn.execute("UPDATE sessions SET until_us = 0 WHERE name = ?", (name,)))
        with self._lock:
            session = self._sessions.pop(name, None)
        if session is not None:
            session.extend(self._clock.monotonic_us())
            session.let_go()

    def close(self) -> None:
        """Give back the runs of all sessions in one commit. Where the store takes no writes, they show as dead."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        if not sessions:
            return
        try:
            self._writer.call(lambda txn: _leave(txn, [session.name for session in sessions]))
        except StorageError:
            for session in sessions:
                self._end(session)
            return
        for session in sessions:
            self._forget(session)

    def require_live(self, transaction: Transaction, name: str) -> None:
        row = transaction.execute("SELECT until_us, lost FROM sessions WHERE name = ?", (name,)).fetchone()
        if row is None or row[1] or row[0] <= self._clock.now_us():
            raise refusals.session_over(name)

    def is_live(self, transaction: Transaction, name: str) -> bool:
        """Whether a session is alive: its time has not run out, and its process has not died."""
        row = transaction.execute("SELECT until_us, lost FROM sessions WHERE name = ?", (name,)).fetchone()
        return row is not None and self.lives(name, row[0], lost=bool(row[1]))

    def lives(self, name: str, until_us: int, *, lost: bool) -> bool:
        return not lost and until_us > self._clock.now_us() and not self._is_dead(name)

    @property
    def _safe_us(self) -> int:
        return self._ttl_us - self._ttl_us // MARGIN_PARTS

    def _enter(self, session: SqliteSession) -> Callable[[Transaction], None]:
        def job(txn: Transaction) -> None:
            started_us, now_us = self._clock.monotonic_us(), self._clock.now_us()
            old = txn.execute("SELECT name FROM sessions WHERE until_us < ?", (now_us - FORGOTTEN_US,)).fetchall()
            for (name,) in old:
                txn.execute("DELETE FROM sessions WHERE name = ?", (name,))
                with suppress(OSError):
                    (self._folder / name).unlink(missing_ok=True)
            txn.execute("INSERT INTO sessions (name, until_us) VALUES (?, ?)", (session.name, now_us + self._ttl_us))
            session.extend(started_us + self._safe_us)

        return job

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._ttl_us / RENEWALS_PER_TTL / 1_000_000):
            for name in list(self._sessions):
                # Not renewed: the session's time runs out, and its engine stops to start effects.
                with suppress(StorageError):
                    self.renew(name)

    def _take(self, name: str) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"no session can be opened ({error.strerror})",
                where=str(self._folder),
                fix="make the folder writable",
            ) from error
        return descriptor

    def _is_dead(self, name: str) -> bool:
        """Whether the lock of its file is free, which a stopped process keeps.

        A missing file says nothing, and leaves it to the lease: somebody may have tidied up while the owner works.
        No session of ours takes its file away before its row is gone.
        """
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # Shared, so that those who look at the same time do not take each other for the owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def _end(self, session: SqliteSession) -> None:
        """End a session whose row may still be there: its file stays, whose free lock says that the owner is gone."""
        session.extend(min(session.safe_until_us(), self._clock.monotonic_us()))
        session.let_go()

    def _forget(self, session: SqliteSession) -> None:
        """End a session whose row is gone."""
        self._end(session)
        with suppress(OSError):
            (self._folder / session.name).unlink(missing_ok=True)


def _leave(transaction: Transaction, names: list[str]) -> None:
    for name in names:
        transaction.disown(name)
        transaction.execute("DELETE FROM sessions WHERE name = ?", (name,))
