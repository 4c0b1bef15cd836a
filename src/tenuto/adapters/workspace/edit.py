"""Reading and changing a tree without any directory: what the built-in file tools work on."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.adapters.workspace.differences import entry_of
from tenuto.adapters.workspace.overlay import TreeOverlay
from tenuto.adapters.workspace.paths import check_path
from tenuto.adapters.workspace.secrecy import refuse_secrets
from tenuto.adapters.workspace.trees import DIRECTORY, EXECUTABLE, FILE, SYMLINK, Node, TreeReader
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.ports.workspace import TreeEdit, TreeEntry

__all__ = ["BlobTreeEdit"]


class BlobTreeEdit(TreeEdit):
    """Edits held in memory over an immutable tree. Nothing reaches the store before `commit`."""

    def __init__(self, reader: TreeReader, tree: Digest) -> None:
        self._reader = reader
        self._overlay = TreeOverlay(reader, tree)
        self._bodies: dict[Digest, bytes] = {}

    async def read(self, path: str) -> bytes:
        path = await self._free(path)
        node = await self._overlay.find(path)
        if node is None:
            raise FileNotFoundError(f"there is no file {path!r}")
        if node.mode == DIRECTORY:
            raise IsADirectoryError(f"{path!r} is a directory; list it, or name a file in it")
        if node.mode == SYMLINK:
            raise ValueError(
                f"{path!r} is a symbolic link to {(await self._body(node))!r}; read the file it leads to"
            )
        return await self._body(node)

    async def entry(self, path: str) -> TreeEntry | None:
        path = await self._free(path)
        node = await self._overlay.find(path)
        return None if node is None or node.mode == DIRECTORY else entry_of(path, node)

    async def entries(self, directory: str = "") -> Sequence[TreeEntry]:
        if directory in ("", ".", "./"):
            return await self._overlay.files()
        path = await self._free(directory)
        node = await self._overlay.find(path)
        if node is None:
            raise FileNotFoundError(f"there is no directory {path!r}")
        if node.mode != DIRECTORY:
            raise NotADirectoryError(f"{path!r} is a file, not a directory")
        return await self._overlay.files(path)

    async def write(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        path = check_path(path)
        blocked = await self._overlay.way(path)
        if blocked is not None and blocked[1].mode != SYMLINK:
            raise NotADirectoryError(f"{blocked[0]!r} is a file, so {path!r} cannot be in it; delete it first")
        await self._free(path)
        old = await self._overlay.find(path)
        if old is not None and old.mode == DIRECTORY:
            raise IsADirectoryError(
                f"{path!r} is a directory; delete the files in it first, or write to another path"
            )
        if old is not None and old.mode == SYMLINK:
            raise ValueError(f"{path!r} is a symbolic link; delete it first, or write to the file it leads to")
        if executable is None:
            executable = old is not None and old.mode == EXECUTABLE
        data = bytes(data)
        node = Node(EXECUTABLE if executable else FILE, digest(data), len(data))
        if node == old:
            return
        refuse_secrets(self._reader.redactor, path, data)
        self._bodies[node.digest] = data
        await self._overlay.put(path, node)

    async def delete(self, path: str) -> None:
        path = await self._free(path)
        node = await self._overlay.find(path)
        if node is None:
            raise FileNotFoundError(f"there is no file {path!r}")
        if node.mode == DIRECTORY:
            raise IsADirectoryError(f"{path!r} is a directory; delete the files in it one by one")
        await self._overlay.remove(path)

    async def commit(self) -> Digest:
        blobs = list(self._bodies.values())
        tree = self._overlay.seal(blobs)
        if blobs:
            await self._reader.blobs.put_many(blobs)
            self._bodies.clear()
        return tree

    async def _free(self, path: str) -> str:
        """The checked path, with no symlink on the way to it."""
        path = check_path(path)
        blocked = await self._overlay.way(path)
        if blocked is not None and blocked[1].mode == SYMLINK:
            raise ValueError(f"the path {path!r} goes through the symbolic link {blocked[0]!r}; name the real path")
        return path

    async def _body(self, node: Node) -> bytes:
        held = self._bodies.get(node.digest)
        return held if held is not None else await self._reader.body(node.digest)
