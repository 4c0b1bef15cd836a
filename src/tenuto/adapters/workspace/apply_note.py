"""The note of an apply, which outlives a kill, and the lock that lets one apply at a time work for a store."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tenuto.adapters.workspace.paths import shown
from tenuto.core.ids import Digest
from tenuto.errors import StorageError, UsageError

__all__ = ["Progress", "locked", "note", "read_progress"]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The note of an apply. `before` and `after` are trees; `number` counts the applies of the run."""

    after: Digest
    before: Digest
    directory: str
    done: bool
    format: int = 1
    number: int


@contextmanager
def locked(displaced: Path) -> Iterator[None]:
    """One apply at a time for a store."""
    try:
        displaced.mkdir(parents=True, exist_ok=True, mode=0o700)  # copies of files that may be private
        lock = os.open(displaced / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot be written ({error.strerror})", where=str(displaced)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("another apply is at work", where=str(displaced), fix="wait until it ends") from None
        yield
    finally:
        os.close(lock)


def read_progress(place: Path) -> Progress | None:
    try:
        data = (place / "progress.json").read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", where=shown(str(place))) from error
    try:
        return msgspec.json.decode(data, type=Progress)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"is not a note of an apply ({error})", where=str(place / "progress.json"), fix="remove it"
        ) from error


def note(place: Path, progress: Progress) -> None:
    """Write the note so that it is whole at every moment, and durable on return."""
    try:
        (place / str(progress.number)).mkdir(parents=True, exist_ok=True)
        temporary = place / "progress.json.new"
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place / "progress.json")
        for at in (place, place.parent):
            opened = os.open(at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
    except OSError as error:
        raise StorageError(
            f"cannot be written ({error.strerror or error})", where=shown(str(place)), fix="apply again"
        ) from error
