"""Files below one directory, by relative path and never through a symlink.

Every directory on the way is opened by itself with O_NOFOLLOW, so that neither a link that lies there nor one
that is put there meanwhile can lead outside. Blocking; callers are in a thread. `OSError` passes through.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tenuto.adapters.workspace.trees import EXECUTABLE, FILE, SYMLINK

__all__ = ["Body", "Files", "Stamp", "mode_of", "remove_directory", "stamp_of"]

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Stamp(NamedTuple):
    """What tells a file from the same file after a change. The ctime cannot be set by those who write files."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Body(NamedTuple):
    """A file as it was read: mode of a tree, bytes (of a symlink: its target), and what it looked like."""

    mode: str
    data: bytes
    stamp: Stamp


def stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def mode_of(mode: int) -> str | None:
    """The mode in a tree; None for what has no place in one."""
    if stat.S_ISREG(mode):
        return EXECUTABLE if mode & stat.S_IXUSR else FILE
    return SYMLINK if stat.S_ISLNK(mode) else None


class Files:
    """The files below `root`. Keeps the directory used last open, since neighbours come together.

    `exact`: files are made with mode 644 or 755 and directories with 755, whatever the process's umask says.
    """

    def __init__(self, root: Path, *, exact: bool = False) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._exact = exact
        self._parent: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()
        os.close(self._root)

    def forget(self) -> None:
        """Close the directory used last: needed before directories are moved or removed."""
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def parent(self, path: str, *, create: bool = False) -> tuple[int, str]:
        """The directory of `path`, open until the next call, and the last name.

        NotADirectoryError or ELOOP where a file or a symlink is in the way."""
        directory, _, name = path.rpartition("/")
        if not directory:
            return self._root, name
        if self._parent is None or self._parent[0] != directory:
            opened = self._open(directory, create)
            self.forget()
            self._parent = (directory, opened)
        return self._parent[1], name

    def _open(self, directory: str, create: bool) -> int:
        at = os.dup(self._root)
        for name in directory.split("/"):
            try:
                try:
                    below = os.open(name, _DIRECTORY_FLAGS, dir_fd=at)
                except FileNotFoundError:
                    if not create:
                        raise
                    os.mkdir(name, 0o777, dir_fd=at)
                    below = os.open(name, _DIRECTORY_FLAGS, dir_fd=at)
                    if self._exact:
                        os.fchmod(below, 0o755)
            finally:
                os.close(at)
            at = below
        return at

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """A directory below the root (`""`: the root), opened without following links."""
        opened = self._open(path, create=False) if path else os.dup(self._root)
        try:
            yield opened
        finally:
            os.close(opened)

    def stamp(self, path: str) -> Stamp | None:
        """What is there, or None. A file or a link in the way counts as nothing there."""
        try:
            parent, name = self.parent(path)
            return stamp_of(os.stat(name, dir_fd=parent, follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise

    def read(self, path: str) -> Body | None:
        """A file's or symlink's body, or None for anything else. Never waits on a pipe."""
        parent, name = self.parent(path)
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(name, dir_fd=parent))
            return Body(SYMLINK, target, stamp_of(status))
        if not stat.S_ISREG(status.st_mode):
            return None
        opened = os.open(name, _READ_FLAGS, dir_fd=parent)
        try:
            status = os.fstat(opened)
            mode = mode_of(status.st_mode)
            if mode is None:
                return None
            return Body(mode, _drain(opened, status.st_size), stamp_of(status))
        finally:
            os.close(opened)

    def write(self, path: str, mode: str, data: bytes, *, sync: bool = False) -> Stamp:
        """Make a new file or symlink, with its directories. FileExistsError where something is there."""
        parent, name = self.parent(path, create=True)
        if mode == SYMLINK:
            os.symlink(data, os.fsencode(name), dir_fd=parent)
            return stamp_of(os.stat(name, dir_fd=parent, follow_symlinks=False))
        opened = os.open(name, _WRITE_FLAGS, 0o666, dir_fd=parent)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(opened, left) :]
            if self._exact:
                os.fchmod(opened, 0o755 if mode == EXECUTABLE else 0o644)
            elif mode == EXECUTABLE:
                allowed = os.fstat(opened).st_mode
                os.fchmod(opened, stat.S_IMODE(allowed | (allowed & 0o444) >> 2))
            if sync:
                os.fsync(opened)
            return stamp_of(os.fstat(opened))
        finally:
            os.close(opened)

    def set_mode(self, path: str, bits: int) -> None:
        """Set the permission bits of a regular file made here."""
        parent, name = self.parent(path)
        os.chmod(name, bits, dir_fd=parent)

    def unlink(self, path: str) -> None:
        parent, name = self.parent(path)
        os.unlink(name, dir_fd=parent)

    def link(self, path: str, name: str) -> None:
        """Give the file `path` a second name in the same directory. FileExistsError where something has it."""
        parent, old = self.parent(path)
        os.link(old, name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)

    def replace(self, path: str, name: str) -> None:
        """Rename the file `path` to `name` in the same directory, over what is there."""
        parent, old = self.parent(path)
        os.replace(old, name, src_dir_fd=parent, dst_dir_fd=parent)

    def sync_parent(self, path: str) -> None:
        parent, _ = self.parent(path)
        os.fsync(parent)

    def prune(self, path: str) -> None:
        """Remove the directories above `path` that are empty."""
        self.forget()
        while "/" in path:
            path = path.rpartition("/")[0]
            try:
                parent, name = self.parent(path)
                os.rmdir(name, dir_fd=parent)
            except FileNotFoundError:
                continue
            except OSError:
                return


def remove_directory(name: str | Path, *, inside: int | None = None) -> None:
    """Remove a directory and all below it, whatever permissions its files have. Links are never followed."""
    try:
        opened = os.open(name, _DIRECTORY_FLAGS, dir_fd=inside)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=inside)
        opened = os.open(name, _DIRECTORY_FLAGS, dir_fd=inside)
    try:
        os.fchmod(opened, 0o700)
        with os.scandir(opened) as listing:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
        for below, is_directory in entries:
            if is_directory:
                remove_directory(below, inside=opened)
            else:
                os.unlink(below, dir_fd=opened)
    finally:
        os.close(opened)
    os.rmdir(name, dir_fd=inside)


def _drain(opened: int, size: int) -> bytes:
    parts: list[bytes] = []
    want = size + 1
    while part := os.read(opened, max(want, 1 << 16)):
        parts.append(part)
        want -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
