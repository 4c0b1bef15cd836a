"""Opening the database file: its format, the checks before it is touched, and its migrations.

The format's version is `PRAGMA user_version`: the number of the last migration. Migrations only go forward.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tenuto.adapters.stores.sqlite_errors import damaged, translated
from tenuto.errors import NewerStoreError, StorageError

__all__ = ["APPLICATION_ID", "PAGE_BYTES", "VERSION", "Outline", "connect", "connect_still", "outline", "prepare"]

APPLICATION_ID = 0x74656E75
"""`tenu`: tells our file from any other SQLite database."""
VERSION = 4
PAGE_BYTES = 8192
STATEMENTS_MAX = 256

_HEADER_BYTES = 100
_MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(path: Path, busy_ms: int) -> None:
    """Make sure that `path` is a store of our version, creating or migrating it if need be.

    DamagedStoreError for a file that is none, NewerStoreError for one that a newer tenuto wrote; both are left as
    they are, to the byte. StorageError where the file system refuses.
    """
    try:
        if _version_in(path, busy_ms) == VERSION:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path), translated(path):
            _create_or_migrate(path, busy_ms)
    except OSError as error:
        raise StorageError(
            f"the store cannot be opened ({error.strerror})",
            where=str(path),
            fix="check that its folder exists and may be read and written",
        ) from error


def connect(path: Path, busy_ms: int, *, writes: bool) -> sqlite3.Connection:
    """A connection to a prepared store, for use by one thread at a time. Raises `sqlite3.Error`."""
    return _configured(path, busy_ms, "mode=rw" if path.exists() else "mode=rwc", writes=writes)


def connect_still(path: Path, busy_ms: int) -> sqlite3.Connection:
    """A connection for reading a store without a log where nothing can be written, not even what readers share.

    It takes no locks: what it read counts only if the store's `outline` is still the one from before it was opened.
    """
    return _configured(path, busy_ms, "mode=ro&immutable=1", writes=False)


def _configured(path: Path, busy_ms: int, parameters: str, *, writes: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{parameters}",
        uri=True,
        timeout=busy_ms / 1_000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS_MAX,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        # SQLite says nothing when its own checkpoint fails; the writer does it, and hears of it.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if not writes:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _version_in(path: Path, busy_ms: int) -> int:
    """The version of the store, 0 for none yet. Changes nothing."""
    while True:
        seen = outline(path)
        size, _, logged = seen
        if not size:
            return 0
        try:
            return _look(path, size, busy_ms, logged=logged)
        except StorageError:
            # Somebody may have been making it just then.
            if outline(path) == seen:
                raise


class Outline(NamedTuple):
    """`size`: 0 = not there. `logged`: whether there is a log with something in it."""

    size: int
    changed_ns: int
    logged: bool


def outline(path: Path) -> Outline:
    """What tells from outside that somebody wrote to a store."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return Outline(0, 0, False)
    size = max(found.st_size, 1) if path.is_dir() else found.st_size
    try:
        logged = Path(f"{path}-wal").stat().st_size > 0
    except FileNotFoundError:
        logged = False
    return Outline(size, found.st_mtime_ns, logged)


def _look(path: Path, size: int, busy_ms: int, *, logged: bool) -> int:
    """The version of the store that is there. DamagedStoreError, NewerStoreError.

    The file is never opened but by SQLite: closing it would drop the locks that this process has on it (POSIX locks
    belong to the process, not to what opened the file), and the next other process to close the store would take
    itself for the last one and remove the log that is in use here, with all that was acknowledged since.
    """
    if size < _HEADER_BYTES and not path.is_dir():
        raise damaged(path, "it is no SQLite database")
    # Without a log the file is all there is, and can be looked at without making a log first.
    still = "" if logged else "&immutable=1"
    with translated(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro{still}", uri=True, timeout=busy_ms / 1_000, isolation_level=None
        )
        try:
            connection.execute("BEGIN")  # all of one moment
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            application = connection.execute("PRAGMA application_id").fetchone()[0]
        finally:
            connection.close()
    if (version or application or tables) and application != APPLICATION_ID:
        raise damaged(path, "it is a SQLite database of another program")
    _refuse_newer(path, version)
    return version


def _refuse_newer(path: Path, version: int) -> None:
    if version > VERSION:
        raise NewerStoreError(
            f"the store has format {version}, this tenuto knows {VERSION}", where=str(path), fix="upgrade tenuto"
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time creates or migrates: setting the journal mode does not wait for others by itself."""
    descriptor = os.open(f"{path}.opening", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_or_migrate(path: Path, busy_ms: int) -> None:
    connection = connect(path, busy_ms, writes=True)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        _refuse_newer(path, version)
        if version == VERSION:
            return
        if version == 0:
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                raise damaged(path, "it is a SQLite database of another program")
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for number, script in _migrations():
            if number > version:
                for statement in _statements(script):
                    connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()
    _sync_folder(path.parent)


def _migrations() -> list[tuple[int, str]]:
    return [(int(p.name[:4]), p.read_text("utf-8")) for p in sorted(_MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))]


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one: `executescript` would commit the transaction they belong to."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
