"""Writing files so that they are whole or absent, and durable when it is said."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenuto.errors import StorageError

__all__ = ["file_errors", "make_folder", "sync_folders", "synced_temporary"]

_REMEDY = {
    errno.ENOSPC: "free some space, then resume",
    errno.EDQUOT: "free some space, then resume",
    errno.EFBIG: "raise the limit on the size of files and resume",
    errno.EIO: "check the disk (dmesg, smartctl), then resume",
    errno.EROFS: "make the folder writable",
    errno.EACCES: "make the folder readable and writable",
    errno.EPERM: "make the folder readable and writable",
    errno.EMFILE: "raise the limit on open files",
    errno.ENFILE: "raise the limit on open files",
}


@contextmanager
def file_errors(where: Path) -> Iterator[None]:
    """No OSError leaves the stores: what, where, how to fix."""
    try:
        yield
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else str(where)
        raise StorageError(
            f"the store reported: {error.strerror or error}",
            where=path,
            fix=_REMEDY.get(error.errno or 0, "check the store's folder"),
        ) from error


@contextmanager
def synced_temporary(folder: Path, data: bytes) -> Iterator[Path]:
    """A file in `folder` that holds `data`, durably, to be renamed or linked. Gone afterwards, if it still is there.

    A failed fsync is never repeated: the file is dropped with it.
    """
    path = folder / f"{os.getpid()}-{os.urandom(8).hex()}"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in folders durable."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path, root: Path) -> None:
    """Make a folder below `root`, durably, with those above it."""
    if folder.is_dir():
        return
    made = []
    for part in reversed([folder, *folder.parents[: len(folder.relative_to(root).parts)]]):
        try:
            part.mkdir()
        except FileExistsError:
            continue
        except FileNotFoundError:
            part.mkdir(parents=True, exist_ok=True)
        made.append(part.parent)
    sync_folders(made)
