"""A workspace over blobs in memory, and short ways to make trees."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from tenuto.adapters.workspace.capture import store_tree
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import FILE, Node, TreeReader
from tenuto.core.ids import Digest
from tenuto.errors import MissingArtifactError

Files = Mapping[str, bytes | tuple[str, bytes]]
"""Path -> body of a plain file, or (mode, body)."""


class Blobs:
    """A blob store in memory that counts what is asked of it."""

    def __init__(self) -> None:
        self.held: dict[Digest, bytes] = {}
        self.puts: list[Digest] = []

    async def put_many(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        found = [Digest(hashlib.sha256(body).hexdigest()) for body in bodies]
        self.puts += found
        self.held.update(zip(found, bodies, strict=True))
        return found

    async def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        try:
            return {digest: self.held[digest] for digest in digests}
        except KeyError as error:
            raise MissingArtifactError(f"no blob {error.args[0]}") from None

    async def missing(self, digests: Iterable[Digest]) -> Sequence[Digest]:
        return [digest for digest in digests if digest not in self.held]


class Trees:
    """A workspace, its blobs, and trees from and to mappings."""

    def __init__(self, directory: Path) -> None:
        self.blobs = Blobs()
        self.workspace = TreeWorkspace(self.blobs, directory / "pool")
        self.reader = TreeReader(self.blobs)

    async def make(self, files: Files) -> Digest:
        nodes = {}
        for path, value in files.items():
            mode, body = value if isinstance(value, tuple) else (FILE, value)
            (digest,) = await self.blobs.put_many([body])
            nodes[path] = Node(mode, digest, len(body))
        return await store_tree(self.reader, nodes)

    async def show(self, tree: Digest) -> dict[str, bytes | tuple[str, bytes]]:
        entries = await self.workspace.entries(tree)
        bodies = [self.blobs.held[entry.digest] for entry in entries]
        return {
            entry.path: body if entry.mode == FILE else (entry.mode, body)
            for entry, body in zip(entries, bodies, strict=True)
        }


@pytest.fixture
async def trees(tmp_path: Path) -> AsyncIterator[Trees]:
    made = Trees(tmp_path)
    yield made
    await made.workspace.close()
