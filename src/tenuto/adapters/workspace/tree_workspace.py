"""Repositories as values: trees in a blob store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from tenuto.adapters.workspace.capture import capture_directory
from tenuto.adapters.workspace.checkout import check_out
from tenuto.adapters.workspace.differences import list_changes, list_files
from tenuto.adapters.workspace.directory import PooledDirectory
from tenuto.adapters.workspace.edit import BlobTreeEdit
from tenuto.adapters.workspace.marking import unresolved_in
from tenuto.adapters.workspace.merge import merge_trees
from tenuto.adapters.workspace.narrowing import narrow_tree
from tenuto.adapters.workspace.overlay import TreeOverlay
from tenuto.adapters.workspace.patch import patch_between
from tenuto.adapters.workspace.pool import DirectoryPool
from tenuto.adapters.workspace.scan import CaptureLimits
from tenuto.adapters.workspace.trees import DIRECTORY, EMPTY_TREE, Node, TreeReader
from tenuto.core.ids import Digest
from tenuto.core.merging import MergedTree, MergePlan
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.ports.artifacts import BlobStore
from tenuto.ports.workspace import FileChange, TreeEdit, TreeEntry, WorkingDirectory, Workspace

__all__ = ["TreeWorkspace"]


class TreeWorkspace(Workspace):
    """Trees as blobs of `blobs`; real directories for tools live below `pool_directory`.

    Files in which `redactor` finds a secret are taken into no tree.
    """

    def __init__(
        self,
        blobs: BlobStore,
        pool_directory: Path,
        *,
        limits: CaptureLimits | None = None,
        redactor: Redactor = NOTHING_SECRET,
    ) -> None:
        self._reader = TreeReader(blobs, redactor=redactor)
        self._pool = DirectoryPool(self._reader, pool_directory)
        self._limits = limits or CaptureLimits()

    async def capture(self, directory: Path, *, tracked: Collection[str] = ()) -> Digest:
        """`tracked`: paths that belong to the tree where they are there, whatever ignore files say."""
        return await capture_directory(self._reader, directory, self._limits, tracked)

    async def edit(self, tree: Digest) -> TreeEdit:
        await self._reader.directory(tree)
        return BlobTreeEdit(self._reader, tree)

    async def directory(self, tree: Digest, *, keep: Sequence[str] = ()) -> WorkingDirectory:
        slot, files = await self._pool.take(tree)
        return PooledDirectory(self._reader, self._pool, slot, tree, files, keep, self._limits)

    async def entries(self, tree: Digest) -> Sequence[TreeEntry]:
        return await list_files(self._reader, tree)

    async def changes(self, before: Digest, after: Digest) -> Sequence[FileChange]:
        return await list_changes(self._reader, before, after)

    async def patch(self, before: Digest, after: Digest) -> bytes:
        return await patch_between(self._reader, before, after)

    async def merge(self, plan: MergePlan) -> MergedTree:
        return await merge_trees(self._reader, plan)

    async def unresolved(self, tree: Digest, merged: MergedTree) -> Sequence[str]:
        return await unresolved_in(self._reader, tree, merged)

    async def narrow(self, tree: Digest, globs: Sequence[str]) -> Digest:
        return await narrow_tree(self._reader, tree, globs)

    async def graft(self, prefix: str, tree: Digest) -> Digest:
        """The tree that holds `tree` below the directory `prefix` (`""`, or `a/b/`), and nothing else."""
        if not prefix:
            return tree
        overlay = TreeOverlay(self._reader, EMPTY_TREE)
        await overlay.put(prefix.rstrip("/"), Node(DIRECTORY, tree, 0))
        blobs: list[bytes] = []
        grafted = overlay.seal(blobs)
        await self._reader.blobs.put_many(blobs)
        return grafted

    async def put(self, tree: Digest, entries: Iterable[TreeEntry]) -> Digest:
        """The tree with these files in it, whatever stood there."""
        overlay = TreeOverlay(self._reader, tree)
        for entry in entries:
            await overlay.put(entry.path, Node(*entry[1:]))
        blobs: list[bytes] = []
        made = overlay.seal(blobs)
        await self._reader.blobs.put_many(blobs)
        return made

    async def check_out(self, tree: Digest, directory: Path) -> int:
        """Write a tree to a directory that is empty or missing; how many files it has. UsageError, StorageError."""
        return await check_out(self._reader, tree, directory)

    async def bodies(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        """The bodies of files of trees."""
        return await self._reader.bodies(digests)

    async def close(self) -> None:
        await self._pool.close()
