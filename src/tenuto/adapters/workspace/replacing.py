"""Replacing files of a user's directory one by one, keeping what is displaced. Blocking.

Every step may be repeated after a kill: what is done is seen to be done, and half-written files have names that
follow from the run and the path, so they are found and written anew.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from tenuto.adapters.workspace.files import Body, Files
from tenuto.adapters.workspace.paths import shown, temporary_of
from tenuto.adapters.workspace.trees import EXECUTABLE, SYMLINK
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.errors import StorageError
from tenuto.ports.workspace import FileChange, TreeEntry

__all__ = ["Replacer", "unwritable_directory"]


class _Other(Enum):
    """What can be at a path beside a file or a symlink that was read."""

    DIRECTORY = auto()
    FOREIGN = auto()


_EFFECTIVE = os.access in os.supports_effective_ids
_IN_THE_WAY = frozenset((errno.EEXIST, errno.ENOTDIR, errno.ELOOP))
_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL))


class Replacer:
    """Changes files below `directory`; copies of what they displace go to the same paths below `keep`.

    `left` collects the paths that were neither as before nor as after, and were not touched.
    """

    def __init__(self, directory: Path, keep: Path, run: str) -> None:
        self.left: list[str] = []
        self._directory = directory
        self._run = run
        self._touched: set[str] = set()
        self._kept: set[str] = set()
        with ExitStack() as opened:
            try:
                self._files = opened.enter_context(Files(directory))
                self._keep = opened.enter_context(Files(keep))
            except OSError as error:
                raise StorageError(
                    f"cannot be opened ({error.strerror})", where=shown(str(directory)), fix="apply again"
                ) from error
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def replace_all(self, changes: Sequence[FileChange], bodies: Mapping[Digest, bytes]) -> None:
        for change in changes:
            if change.after is not None:
                self._guarded(change, bodies[change.after.digest])

    def delete_all(self, changes: Sequence[FileChange]) -> None:
        """The last path first, so that a directory is empty before something takes its place."""
        for change in reversed(changes):
            self._guarded(change, None)

    def sync(self) -> None:
        """Make renames and deletions durable, those of directories too."""
        for directory in sorted({above for path in self._touched for above in _above(path)}):
            with suppress(FileNotFoundError, NotADirectoryError), self._files.directory(directory) as opened:
                os.fsync(opened)

    def _guarded(self, change: FileChange, data: bytes | None) -> None:
        try:
            self._change(change, data)
        except OSError as error:
            raise StorageError(
                f"cannot be replaced ({error.strerror or error})",
                where=shown(str(self._directory / change.path)),
                fix="repair that and apply again",
            ) from error

    def _change(self, change: FileChange, data: bytes | None) -> None:
        path = change.path
        temporary = temporary_of(self._run, path)
        for files in (self._files, self._keep):
            self._drop(files, temporary)
        there = self._look(change)
        if change.after is None and there is _Other.DIRECTORY:
            return  # the file is gone; what is below comes by itself, or came before a kill
        if _is(there, change.after):
            if change.after is None:
                self._files.prune(path)
            return
        if not _is(there, change.before):
            self.left.append(path)
            return
        if isinstance(there, Body):
            self._keep_copy(path, there)
        if change.after is None or data is None:
            if self._same(path, there):
                self._files.unlink(path)
                self._touched.add(path)
                self._files.prune(path)
            return
        try:
            self._write(temporary, change.after, data, there)
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
            self.left.append(path)
            return
        if self._same(path, there) and self._put(temporary, path, new=there is None):
            self._touched.add(path)
        self._drop(self._files, temporary)

    def _put(self, temporary: str, path: str, *, new: bool) -> bool:
        """Put a written file in its place. A new one never over another, where the file system has links."""
        name = path.rpartition("/")[2]
        if new:
            try:
                self._files.link(temporary, name)
            except FileExistsError:
                self.left.append(path)
                return False
            except NotImplementedError:
                pass  # this system cannot link links
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
            else:
                return True
        self._files.replace(temporary, name)
        return True

    def _write(self, temporary: str, after: TreeEntry, data: bytes, there: Body | _Other | None) -> None:
        self._files.write(temporary, after.mode, data, sync=True)
        if isinstance(there, Body) and SYMLINK not in (there.mode, after.mode):
            bits = there.stamp.mode & 0o666
            if after.mode == EXECUTABLE:
                bits |= (bits & 0o444) >> 2
            self._files.set_mode(temporary, bits)

    def _same(self, path: str, seen: Body | _Other | None) -> bool:
        """The last look before a change: notes the path as left where it is not as it was seen."""
        same = self._files.stamp(path) == (seen.stamp if isinstance(seen, Body) else None)
        if not same:
            self.left.append(path)
        return same

    def _look(self, change: FileChange) -> Body | _Other | None:
        """What is there. A file of a size that neither side has is not read: it may be anything."""
        stamp = self._files.stamp(change.path)
        if stamp is None:
            return None
        if stat.S_ISDIR(stamp.mode):
            return _Other.DIRECTORY
        if stamp.size not in [entry.size for entry in change[1:] if entry is not None]:
            return _Other.FOREIGN
        try:
            return self._files.read(change.path) or _Other.FOREIGN
        except FileNotFoundError:
            return None

    def _keep_copy(self, path: str, body: Body) -> None:
        """Copy what is displaced; durable on return, with the directories that were made for it."""
        temporary = temporary_of(self._run, path)
        self._keep.write(temporary, body.mode, body.data, sync=True)
        self._keep.replace(temporary, path.rpartition("/")[2])
        self._keep.sync_parent(path)
        for directory in _above(path):
            if directory and directory not in self._kept:
                self._kept.add(directory)
                self._keep.sync_parent(directory)

    def _drop(self, files: Files, path: str) -> None:
        if files.stamp(path) is not None:
            files.unlink(path)


def unwritable_directory(directory: Path, paths: Iterable[str]) -> str | None:
    """The first directory in which files would have to be made or removed and cannot be; None where all can.

    What is in the way of a path is not looked at here.
    """
    tried: set[str] = set()
    with Files(directory) as files:
        for path in paths:
            for above in _above(path):
                if above in tried:
                    break
                tried.add(above)
                try:
                    with files.directory(above) as opened:
                        if not os.access(".", os.W_OK | os.X_OK, dir_fd=opened, effective_ids=_EFFECTIVE):
                            return above or "."
                except PermissionError:
                    return above or "."
                except OSError:
                    continue  # not there yet, or no directory: the one above has to do
                break
    return None


def _is(there: Body | _Other | None, wanted: TreeEntry | None) -> bool:
    if wanted is None or there is None:
        return there is None and wanted is None
    return isinstance(there, Body) and there.mode == wanted.mode and digest(there.data) == wanted.digest


def _above(path: str) -> Iterator[str]:
    """The directories above a path, up to the root (`""`)."""
    while path:
        path = path.rpartition("/")[0]
        yield path
