"""Replacing files of a user's directory one by one, keeping what is displaced. Blocking.

Every step may be repeated after a kill: what is done is seen to be done, and half-written files have names that
follow from the run and the path, so they are found and written anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from tenuto.adapters.workspace.files import Body, Files
from tenuto.adapters.workspace.paths import shown
from tenuto.adapters.workspace.trees import EXECUTABLE, SYMLINK
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.errors import StorageError
from tenuto.ports.workspace import FileChange, TreeEntry

__all__ = ["Replacer"]


class _Other(Enum):
    """What can be at a path beside a file or a symlink."""

    DIRECTORY = auto()
    SPECIAL = auto()


class Replacer:
    """Changes files below `directory`; copies of what they displace go to the same paths below `keep`.

    `left` collects the paths that were neither as before nor as after, and were not touched.
    """

    def __init__(self, directory: Path, keep: Path, run: str) -> None:
        self.left: list[str] = []
        self._directory = directory
        self._run = run
        self._touched: set[str] = set()
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
        temporary = self._temporary(path)
        there = self._look(path)
        if change.after is None and there is _Other.DIRECTORY:
            return  # the file is gone; what is below comes by itself, or came before a kill
        if _is(there, change.after):
            self._drop(self._files, temporary)
            if change.after is None:
                self._files.prune(path)
            return
        if not _is(there, change.before):
            self._drop(self._files, temporary)
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
        except (FileExistsError, NotADirectoryError):
            self.left.append(path)
            return
        if self._same(path, there):
            self._files.replace(temporary, path.rpartition("/")[2])
            self._touched.add(path)
        else:
            self._drop(self._files, temporary)

    def _write(self, temporary: str, after: TreeEntry, data: bytes, there: Body | _Other | None) -> None:
        self._drop(self._files, temporary)
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

    def _look(self, path: str) -> Body | _Other | None:
        stamp = self._files.stamp(path)
        if stamp is None:
            return None
        if stat.S_ISDIR(stamp.mode):
            return _Other.DIRECTORY
        try:
            return self._files.read(path) or _Other.SPECIAL
        except FileNotFoundError:
            return None

    def _keep_copy(self, path: str, body: Body) -> None:
        temporary = self._temporary(path)
        self._drop(self._keep, temporary)
        self._keep.write(temporary, body.mode, body.data, sync=True)
        self._keep.replace(temporary, path.rpartition("/")[2])
        self._keep.sync_parent(path)

    def _drop(self, files: Files, path: str) -> None:
        if files.stamp(path) is not None:
            files.unlink(path)

    def _temporary(self, path: str) -> str:
        above, slash, _ = path.rpartition("/")
        return f"{above}{slash}.tenuto-{digest(f'{self._run}/{path}'.encode())[:16]}.new"


def _is(there: Body | _Other | None, wanted: TreeEntry | None) -> bool:
    if wanted is None or there is None:
        return there is None and wanted is None
    return isinstance(there, Body) and there.mode == wanted.mode and digest(there.data) == wanted.digest


def _above(path: str) -> Iterator[str]:
    """The directories above a path, up to the root (`""`)."""
    while path:
        path = path.rpartition("/")[0]
        yield path
