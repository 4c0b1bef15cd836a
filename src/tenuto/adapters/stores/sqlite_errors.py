"""What SQLite reports, by consequence. No `sqlite3` exception leaves the stores."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenuto.errors import DamagedStoreError, StorageError

__all__ = ["breaks_store", "damaged", "is_busy", "is_unwritable", "storage_error", "translated"]

FREE_BYTES_MIN = 8_192_000
"""With less than what the log may take before it is merged, a failed write is one for want of space."""

_PRIMARY = 0xFF
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH})
_REMEDY = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space, then resume"),
    sqlite3.SQLITE_IOERR: ("the disk failed", "check the disk (dmesg, smartctl), then resume"),
    sqlite3.SQLITE_READONLY: ("the store cannot be written", "make the file and its folder writable"),
    sqlite3.SQLITE_PERM: ("the store may not be used", "check the permissions of the file and its folder"),
    sqlite3.SQLITE_AUTH: ("the store may not be used", "check the permissions of the file and its folder"),
    sqlite3.SQLITE_CANTOPEN: (
        "the store cannot be opened",
        "check that its folder exists and may be read and written, or copy the whole folder to a place that may",
    ),
    sqlite3.SQLITE_BUSY: ("another process kept the store locked", "try again when it has finished"),
    sqlite3.SQLITE_LOCKED: ("another process kept the store locked", "try again when it has finished"),
    sqlite3.SQLITE_NOMEM: ("memory ran out", "give the process more memory"),
}


def breaks_store(error: sqlite3.Error) -> bool:
    """Whether nothing more may be written after this: what is durable is unknown, or the file is damaged.

    A failed fsync may have dropped the pages it could not write, so a second one would succeed and mean nothing.
    """
    code = _code(error)
    return code == sqlite3.SQLITE_IOERR or code in _DAMAGE


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process, or another connection of this one, had the store locked."""
    return _code(error) == sqlite3.SQLITE_BUSY


def is_unwritable(error: sqlite3.Error) -> bool:
    """Whether SQLite could not make or write a file that it needs, which even readers of a log do."""
    return _code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def storage_error(error: sqlite3.Error, path: Path) -> StorageError:
    """One line for users: what, where, how to fix."""
    code = _code(error)
    if code in _DAMAGE or "decode to UTF-8" in str(error):
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_IOERR and _is_full(path):
        # Where the index of the log finds no room, SQLite calls it an I/O error.
        code = sqlite3.SQLITE_FULL
    what, fix = _REMEDY.get(code, ("the store reported an error", "run `tenuto doctor`"))
    return StorageError(f"{what} ({error})", where=str(path), fix=fix)


def damaged(path: Path, what: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"the store is damaged: {what}", where=str(path), fix="keep a copy of it, then restore a backup"
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise storage_error(error, path) from error


def _is_full(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    without_inodes = found.f_files > 0 and found.f_favail == 0
    return found.f_bavail * found.f_frsize < FREE_BYTES_MIN or without_inodes


def _code(error: sqlite3.Error) -> int:
    # Errors that Python's own layer raises carry no code.
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY
