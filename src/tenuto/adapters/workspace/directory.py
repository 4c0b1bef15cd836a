"""A real directory that holds a tree, lent to one tool call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenuto.adapters.workspace.capture import store_bodies
from tenuto.adapters.workspace.files import Files
from tenuto.adapters.workspace.narrowing import glob_rules
from tenuto.adapters.workspace.overlay import TreeOverlay
from tenuto.adapters.workspace.pool import DirectoryPool, Slot
from tenuto.adapters.workspace.scan import CaptureLimits, Scanned, scan
from tenuto.adapters.workspace.trees import Node, TreeReader
from tenuto.core.ids import Digest
from tenuto.errors import UsageError
from tenuto.ports.workspace import WorkingDirectory

__all__ = ["PooledDirectory"]


class PooledDirectory(WorkingDirectory):
    """What is captured is a function of the tree it began with and of what it holds, nothing else:

    - a file of the tree it began with belongs to the tree as long as it is there, whatever ignore files say now
      (as for files that git tracks), so a tool that writes `*` into `.gitignore` hides no change and deletes
      nothing;
    - for new files the ignore files hold that are in the directory now: a tool that ignores what it makes, as
      installers do, leaves it out, and nothing that is left out reaches a later step;
    - ignored new files that `keep` names are in.
    """

    def __init__(
        self,
        reader: TreeReader,
        pool: DirectoryPool,
        slot: Slot,
        tree: Digest,
        files: Mapping[str, Node],
        keep: Sequence[str],
        limits: CaptureLimits,
    ) -> None:
        self._reader = reader
        self._pool = pool
        self._slot = slot
        self._tree = tree
        self._files = files
        self._keep = glob_rules(keep) if keep else None
        self._limits = limits
        self._seen = dict(slot.written)
        self._seen_ns = slot.probe_ns
        self._closed = False

    @property
    def path(self) -> Path:
        return self._slot.path

    async def capture(self) -> Digest:
        """The tree of what is here now; costs a look at every file and the reading of those that changed.

        UsageError, one line with the path, for what cannot be in a tree (a nested repository, a socket)."""
        if self._closed:
            raise UsageError("the working directory was given back", where=str(self.path))
        probe_ns = await asyncio.to_thread(self._pool.probe)
        with await asyncio.to_thread(self._open) as files:
            found = await asyncio.to_thread(self._scan, files)
            changed = [file for file in found if not self._unchanged(file)]
            seen = {file.path: self._seen[file.path] for file in found if self._unchanged(file)}
            seen.update(await store_bodies(self._reader, self.path, files, changed))
        self._seen, self._seen_ns = seen, probe_ns
        overlay = TreeOverlay(self._reader, self._tree)
        for path in self._files.keys() - seen.keys():
            await overlay.remove(path)
        for path, (_, node) in seen.items():
            if self._files.get(path) != node:
                await overlay.put(path, node)
        blobs: list[bytes] = []
        tree = overlay.seal(blobs)
        if blobs:
            await self._reader.blobs.put_many(blobs)
        return tree

    async def close(self, *, reuse: bool = True) -> None:
        if not self._closed:
            self._closed = True
            await self._pool.give_back(self._slot, reuse=reuse)

    def _open(self) -> Files:
        try:
            return Files(self.path)
        except OSError as error:
            raise UsageError(f"the working directory is gone ({error.strerror})", where=str(self.path)) from error

    def _scan(self, files: Files) -> list[Scanned]:
        return scan(self.path, files, tracked=self._files.keys(), keep=self._keep, limits=self._limits)

    def _unchanged(self, file: Scanned) -> bool:
        seen = self._seen.get(file.path)
        return seen is not None and seen[0] == file.stamp and file.stamp.ctime_ns < self._seen_ns
