"""The repository as a value: trees, and what is done with them.

A tree is a Merkle tree of directories; its digest names the root. Blobs of trees are durable before a digest is
returned, so a record may name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tenuto.core.ids import Digest
from tenuto.core.merging import MergedTree, MergePlan

__all__ = ["FileChange", "TreeEdit", "TreeEntry", "WorkingDirectory", "Workspace"]


class TreeEntry(NamedTuple):
    """A file of a tree. `mode`: `100644`, `100755` or `120000` (a symlink, whose blob is its target)."""

    path: str
    mode: str
    digest: Digest
    size: int


class FileChange(NamedTuple):
    """One path that differs between two trees; None = not there."""

    path: str
    before: TreeEntry | None
    after: TreeEntry | None


class TreeEdit(Protocol):
    """Reading and changing a tree without a directory. Paths are relative, with `/`.

    Every path is checked: absolute paths, `..`, NUL, and ways through symlinks raise ValueError with a message a
    model can act on. A missing file raises FileNotFoundError, a directory IsADirectoryError.
    """

    async def read(self, path: str) -> bytes: ...

    async def entry(self, path: str) -> TreeEntry | None: ...

    async def entries(self, directory: str = "") -> Sequence[TreeEntry]:
        """All files below a directory, sorted by path (bytes order)."""
        ...

    async def write(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        """Create or replace a file; `executable=None` keeps the mode it has. UsageError where it holds a secret."""
        ...

    async def delete(self, path: str) -> None: ...

    async def commit(self) -> Digest:
        """The digest of the tree with all edits; equal to the first one where nothing changed."""
        ...


class WorkingDirectory(Protocol):
    """A private directory that holds a tree."""

    @property
    def path(self) -> Path: ...

    async def capture(self) -> Digest:
        """The tree of what the directory holds now (ignored files left out, kept ones in).

        UsageError, one line with the path, for what cannot be in a tree (sockets, files that hold a secret)."""
        ...

    async def close(self, *, reuse: bool = True) -> None:
        """Give the directory back to the pool, or with `reuse=False` remove it now. Idempotent."""
        ...


class Workspace(Protocol):
    async def capture(self, directory: Path) -> Digest:
        """The tree of a user's directory, untracked files included, ignored ones not. Only reads.

        UsageError, one line with the path, for what cannot be taken (not a directory, unreadable, a submodule,
        sockets and devices, symlink loops, too many or too large files, a file that holds a secret).
        """
        ...

    async def edit(self, tree: Digest) -> TreeEdit: ...

    async def directory(self, tree: Digest, *, keep: Sequence[str] = ()) -> WorkingDirectory:
        """A directory that holds `tree` and nothing else.

        Its `capture` leaves out new files that ignore files name, but not those that `keep` names: globs as in a
        gitignore file, from the top of the tree.
        """
        ...

    async def entries(self, tree: Digest) -> Sequence[TreeEntry]: ...

    async def changes(self, before: Digest, after: Digest) -> Sequence[FileChange]: ...

    async def patch(self, before: Digest, after: Digest) -> bytes:
        """A git-style patch (`git apply` takes it, binary files too); empty where nothing differs."""
        ...

    async def merge(self, plan: MergePlan) -> MergedTree:
        """Merge as `plan` says, and narrow what comes of it where it has `reads`.

        Same plan and trees, same outcome, on every machine."""
        ...

    async def unresolved(self, tree: Digest, merged: MergedTree) -> Sequence[str]:
        """The files of `tree`, made from `merged.marked`, that still hold conflict markers; sorted."""
        ...

    async def narrow(self, tree: Digest, globs: Sequence[str]) -> Digest:
        """The part of a tree that `globs` (as those of `keep`) admit, and its ignore files, which are always in.

        What a step made of it is brought back by a merge: base the narrow tree, then the whole one, then the
        step's. There only a new file of the step can conflict: one that the whole tree holds at the same place.
        """
        ...

    async def close(self) -> None: ...
