"""Blobs and artifacts as ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from tenuto.core.artifacts import Artifact
from tenuto.core.ids import Digest, RunId

__all__ = ["ArtifactStore", "BlobStore"]


class BlobStore(Protocol):
    """Immutable bytes by SHA-256. Needs create-if-absent only, so an object store can serve."""

    async def put_many(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        """Keep blobs; all durable on return, in the order given. Equal bytes are kept once. StorageError."""
        ...

    async def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        """All of the asked blobs, each verified. MissingArtifactError, DamagedStoreError name the first bad one."""
        ...

    async def missing(self, digests: Iterable[Digest]) -> Sequence[Digest]:
        """Those that are not here, without reading the others."""
        ...


class ArtifactStore(BlobStore, Protocol):
    """Blobs, and named versioned entries on them."""

    async def put(self, entry: Artifact, data: bytes, *, expected_version: int) -> Artifact:
        """Add version `expected_version + 1` of (entry.run, entry.name); compare-and-swap, atomic, durable.

        `entry.version`, `digest` and `size` are filled in by the store. ArtifactConflictError names both writers
        when another version came between.
        """
        ...

    async def get(self, run: RunId, name: str, *, version: int | None = None) -> tuple[Artifact, bytes]:
        """An entry (the newest without `version`) and its verified bytes. MissingArtifactError."""
        ...

    async def entries(self, run: RunId) -> Sequence[Artifact]:
        """All entries of a run, by name, then version."""
        ...

    async def delete_run(self, run: RunId) -> None:
        """Delete a run's entries (blobs stay until a sweep). Atomic: seen as a whole or not at all. Idempotent.

        Writes that race with it either finish before and vanish, or are refused with MissingArtifactError."""
        ...
