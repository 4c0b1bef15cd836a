"""Real directories for tools, kept and moved on from tree to tree by difference.

A directory that comes back may hold anything: a tool ran in it. What is kept for the next tree are only files
that nobody touched since they were written here, told by their stamps; everything else is removed and written
again from blobs, never by hard links. A stamp proves that only where the file's ctime lies before the clock
reading at which the directory was handed out (`probe`): a later change then has another ctime. Files written in
the same tick are written again.

Every process has its own directory below the pool's, held by a lock; those of dead processes are removed, never
used. Blocking parts run in threads.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tenuto.adapters.workspace.differences import list_files
from tenuto.adapters.workspace.files import Stamp, remove_directory, stamp_of
from tenuto.adapters.workspace.trees import Node, TreeReader
from tenuto.adapters.workspace.writing import write_files
from tenuto.core.ids import Digest
from tenuto.errors import StorageError

__all__ = ["DirectoryPool", "Seen", "Slot", "remove_dead"]

Seen = dict[str, tuple[Stamp, Node]]
"""What files looked like when they were last known to hold their bodies."""


@dataclass(slots=True)
class Slot:
    """One real directory. `written`: files that were written here; `probe_ns`: the clock when it was handed out."""

    path: Path
    written: Seen = field(default_factory=dict)
    probe_ns: int = 0


class DirectoryPool:
    """Directories of one process. Up to `idle_max` that came back are kept for reuse."""

    def __init__(self, reader: TreeReader, directory: Path, *, idle_max: int = 8) -> None:
        self._reader = reader
        self._directory = directory
        self._idle_max = idle_max
        self._idle: list[Slot] = []
        self._home: Path | None = None
        self._lock = -1
        self._made = 0
        self._making = asyncio.Lock()

    async def take(self, tree: Digest) -> tuple[Slot, Mapping[str, Node]]:
        """A directory that holds exactly `tree`, and the tree's files.

        Where this fails or is cancelled the directory is not used again."""
        entries = await list_files(self._reader, tree)
        want = {entry.path: Node(*entry[1:]) for entry in entries}
        slot, kept = await self._cleared(want)
        missing = [entry for entry in entries if entry.path not in kept]
        stamps = await write_files(self._reader, slot.path, missing, exact=True)
        slot.written |= {path: (stamp, want[path]) for path, stamp in stamps.items()}
        slot.probe_ns = await asyncio.to_thread(self.probe)
        return slot, want

    async def _cleared(self, want: Mapping[str, Node]) -> tuple[Slot, set[str]]:
        if self._idle:
            slot = self._idle.pop()
            try:
                return slot, await asyncio.to_thread(_clear, slot, want)
            except OSError:  # a tool left it in a state that cannot be cleared: it stays behind until the end
                pass
        async with self._making:
            return await asyncio.to_thread(self._make), set()

    async def give_back(self, slot: Slot, *, reuse: bool = True) -> None:
        """Keep a directory for reuse as it is (it is cleared when it is taken again), or remove it now."""
        if reuse and len(self._idle) < self._idle_max:
            self._idle.append(slot)
        else:
            await asyncio.to_thread(remove_directory, slot.path)

    def probe(self) -> int:
        """The file system's clock: what a change made now would have as its ctime."""
        os.fchmod(self._lock, 0o600)
        return os.fstat(self._lock).st_ctime_ns

    async def close(self) -> None:
        """Remove all directories of this process. Idempotent."""
        self._idle.clear()
        home, self._home = self._home, None
        if home is not None:
            await asyncio.to_thread(remove_directory, home)
            os.close(self._lock)

    def _make(self) -> Slot:
        if self._home is None:
            self._home = self._open_home()
        self._made += 1
        path = self._home / str(self._made)
        path.mkdir()
        return Slot(path)

    def _open_home(self) -> Path:
        """This process's own directory. Made, and dead ones removed, under the pool's lock: so none is half made."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            pool = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(pool, fcntl.LOCK_EX)
                _remove_dead(self._directory)
                home = Path(tempfile.mkdtemp(prefix="engine-", dir=self._directory))
                self._lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            finally:
                os.close(pool)
        except OSError as error:
            raise StorageError(
                f"working directories cannot be made ({error.strerror})",
                where=str(self._directory),
                fix="make it writable, or free space",
            ) from error
        return home


def remove_dead(directory: Path) -> None:
    """Remove what engines that were killed left below a pool's directory: secrets may be in it. Best effort."""
    with suppress(OSError):
        pool = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(pool, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_dead(directory)
        finally:
            os.close(pool)


def _remove_dead(directory: Path) -> None:
    for home in directory.glob("engine-*"):
        try:
            lock = os.open(home / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            remove_directory(home)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            remove_directory(home)
        finally:
            os.close(lock)


def _clear(slot: Slot, want: Mapping[str, Node]) -> set[str]:
    """Remove everything that is not an untouched file of the wanted tree. Returns the paths that stay."""
    directories: set[str] = set()
    for path in want:
        while "/" in path:
            path = path.rpartition("/")[0]
            if path in directories:
                break
            directories.add(path)
    os.chmod(slot.path, 0o755)
    kept: set[str] = set()
    opened = os.open(slot.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _clear_below(opened, "", slot, want, directories, kept)
    finally:
        os.close(opened)
    slot.written = {path: slot.written[path] for path in kept}
    return kept


def _clear_below(
    opened: int, prefix: str, slot: Slot, want: Mapping[str, Node], directories: set[str], kept: set[str]
) -> None:
    with os.scandir(opened) as listing:
        entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in listing]
    for name, status in entries:
        path = prefix + name
        if not stat.S_ISDIR(status.st_mode):
            if _untouched(slot, path, stamp_of(status), want.get(path)):
                kept.add(path)
            else:
                os.unlink(name, dir_fd=opened)
        elif path not in directories:
            remove_directory(name, inside=opened)
        else:
            if stat.S_IMODE(status.st_mode) != 0o755:
                os.chmod(name, 0o755, dir_fd=opened)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened)
            try:
                _clear_below(below, path + "/", slot, want, directories, kept)
            finally:
                os.close(below)


def _untouched(slot: Slot, path: str, stamp: Stamp, wanted: Node | None) -> bool:
    written = slot.written.get(path)
    return written is not None and wanted == written[1] and stamp == written[0] and stamp.ctime_ns < slot.probe_ns
