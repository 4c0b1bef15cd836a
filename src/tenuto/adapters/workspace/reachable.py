"""Everything that trees are made of: their directories and the bodies of their files."""

from __future__ import annotations

from collections.abc import Iterable

from tenuto.adapters.workspace.trees import DIRECTORY, EMPTY_TREE, parse_directory
from tenuto.core.ids import Digest
from tenuto.ports.artifacts import BlobStore

__all__ = ["reachable_from"]

BATCH = 200


async def reachable_from(blobs: BlobStore, trees: Iterable[Digest]) -> set[Digest]:
    """The blobs of these trees, each once. Directories are read, files are not.

    MissingArtifactError, DamagedStoreError where a directory is not there or is none. The tree without files needs
    no blob.
    """
    found: set[Digest] = set()
    level = set(trees) - {EMPTY_TREE}
    directories: set[Digest] = set()
    while level:
        below: set[Digest] = set()
        wanted = sorted(level)
        for first in range(0, len(wanted), BATCH):
            bodies = await blobs.get_many(wanted[first : first + BATCH])
            for tree, body in bodies.items():
                for node in parse_directory(body, tree).values():
                    (below if node.mode == DIRECTORY else found).add(node.digest)
        directories |= level
        level = below - directories - {EMPTY_TREE}
    return found | directories
