"""Changes on top of a tree, held in memory until they are sealed into a new tree.

Directories are loaded when something below them is asked for. Those that end up empty vanish, and only those
that changed become new blobs.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.adapters.workspace.differences import list_files
from tenuto.adapters.workspace.trees import DIRECTORY, Node, TreeReader, encode_directory
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.ports.workspace import TreeEntry

__all__ = ["TreeOverlay"]


class _Folder:
    """A directory that was opened. `origin` is its digest while nothing below it has changed."""

    __slots__ = ("children", "origin")

    def __init__(self, origin: Digest | None, children: dict[str, Node | _Folder]) -> None:
        self.origin = origin
        self.children = children


class TreeOverlay:
    """A tree under change. Paths are taken as valid; who takes them from outside checks them before."""

    def __init__(self, reader: TreeReader, tree: Digest) -> None:
        self._reader = reader
        self._tree = tree
        self._root: _Folder | None = None

    async def find(self, path: str) -> Node | None:
        """What stands at `path`. A directory that was opened has the digest of an unsealed state: only its mode
        is to be used."""
        folder = await self._open_root()
        *above, last = path.split("/")
        for name in above:
            inner = await self._descend(folder, name)
            if inner is None:
                return None
            folder = inner
        child = folder.children.get(last)
        return Node(DIRECTORY, self._tree, 0) if isinstance(child, _Folder) else child

    async def way(self, path: str) -> tuple[str, Node] | None:
        """The first file or symlink that stands in the way to `path`, with its own path; None = the way is free."""
        folder = await self._open_root()
        names = path.split("/")
        for depth, name in enumerate(names[:-1]):
            child = folder.children.get(name)
            if isinstance(child, Node) and child.mode != DIRECTORY:
                return "/".join(names[: depth + 1]), child
            inner = await self._descend(folder, name)
            if inner is None:
                return None
            folder = inner
        return None

    async def put(self, path: str, node: Node) -> None:
        """Set what stands at `path`, whatever stood there or on the way. A directory's node grafts all of it."""
        folder = await self._open_root()
        *above, last = path.split("/")
        folder.origin = None
        for name in above:
            inner = await self._descend(folder, name)
            if inner is None:
                inner = _Folder(None, {})
                folder.children[name] = inner
            folder = inner
            folder.origin = None
        folder.children[last] = node

    async def remove(self, path: str) -> None:
        """Take away what stands at `path`, and the directories that are empty then. Nothing there: no change."""
        folder = await self._open_root()
        *above, last = path.split("/")
        line = [folder]
        for name in above:
            inner = await self._descend(folder, name)
            if inner is None:
                return
            folder = inner
            line.append(folder)
        if folder.children.pop(last, None) is None:
            return
        for opened in line:
            opened.origin = None
        for parent, name, child in zip(line[-2::-1], above[::-1], line[:0:-1], strict=True):
            if child.children:
                break
            del parent.children[name]

    async def files(self, directory: str = "") -> Sequence[TreeEntry]:
        """All files below a directory, sorted by path."""
        folder = await self._open_root()
        for name in directory.split("/") if directory else ():
            inner = await self._descend(folder, name)
            if inner is None:
                return []
            folder = inner
        found: list[TreeEntry] = []
        closed: list[tuple[str, Digest]] = []
        stack = [(f"{directory}/" if directory else "", folder)]
        while stack:
            prefix, folder = stack.pop()
            for name, child in folder.children.items():
                if isinstance(child, _Folder):
                    stack.append((f"{prefix}{name}/", child))
                elif child.mode == DIRECTORY:
                    closed.append((f"{prefix}{name}/", child.digest))
                else:
                    found.append(TreeEntry(prefix + name, *child))
        for prefix, tree in closed:
            found += await list_files(self._reader, tree, prefix)
        found.sort()
        return found

    def seal(self, blobs: list[bytes]) -> Digest:
        """The digest of the tree as it is now; the blobs of changed directories are added to `blobs`.

        Changes nothing here, so it may be repeated where the blobs could not be kept."""
        return self._tree if self._root is None else self._seal(self._root, blobs)

    def _seal(self, folder: _Folder, blobs: list[bytes]) -> Digest:
        if folder.origin is not None:
            return folder.origin
        entries = {
            name: Node(DIRECTORY, self._seal(child, blobs), 0) if isinstance(child, _Folder) else child
            for name, child in folder.children.items()
        }
        blob = encode_directory(entries)
        blobs.append(blob)
        return digest(blob)

    async def _open_root(self) -> _Folder:
        if self._root is None:
            self._root = _Folder(self._tree, dict(await self._reader.directory(self._tree)))
        return self._root

    async def _descend(self, folder: _Folder, name: str) -> _Folder | None:
        child = folder.children.get(name)
        if isinstance(child, _Folder):
            return child
        if child is None or child.mode != DIRECTORY:
            return None
        opened = _Folder(child.digest, dict(await self._reader.directory(child.digest)))
        held = folder.children.get(name)
        if isinstance(held, _Folder):  # another task opened it while the store was asked
            return held
        folder.children[name] = opened
        return opened
