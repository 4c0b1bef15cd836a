"""Writing the files of a tree into a real directory, a batch of bodies in memory at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenuto.adapters.workspace.files import Files, Stamp
from tenuto.adapters.workspace.trees import TreeReader
from tenuto.core.ids import Digest
from tenuto.ports.workspace import TreeEntry

__all__ = ["write_files"]

_BATCH_BYTES = 16 << 20
_BATCH_FILES = 2_000


async def write_files(
    reader: TreeReader, directory: Path, entries: Sequence[TreeEntry], *, exact: bool
) -> dict[str, Stamp]:
    """Make files that are not there yet. `exact`: whatever the process's umask says. `OSError` passes through."""
    stamps: dict[str, Stamp] = {}
    at = 0
    while at < len(entries):
        start, size = at, 0
        while at < len(entries) and at - start < _BATCH_FILES and size < _BATCH_BYTES:
            size += entries[at].size
            at += 1
        batch = entries[start:at]
        bodies = await reader.bodies({entry.digest for entry in batch})
        stamps |= await asyncio.to_thread(_write, directory, batch, bodies, exact)
    return stamps


def _write(
    directory: Path, batch: Sequence[TreeEntry], bodies: Mapping[Digest, bytes], exact: bool
) -> dict[str, Stamp]:
    with Files(directory, exact=exact) as files:
        return {entry.path: files.write(entry.path, entry.mode, bodies[entry.digest]) for entry in batch}
