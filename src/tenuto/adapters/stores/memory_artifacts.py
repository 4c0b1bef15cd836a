"""Artifacts in memory, for tests and runs that need not outlive the process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tenuto.adapters.stores import entries, refusals
from tenuto.core.artifacts import Artifact
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.ports.artifacts import ArtifactStore

__all__ = ["InMemoryArtifactStore"]


class InMemoryArtifactStore(ArtifactStore):
    """Several engines may share one."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._entries: dict[RunId, dict[str, list[Artifact]]] = {}
        self._deleted: set[RunId] = set()

    async def put_many(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        names = [digest(body) for body in bodies]
        for name, body in zip(names, bodies, strict=True):
            self._blobs.setdefault(name, bytes(body))
        return names

    async def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        return {name: self._blob(name) for name in digests}

    async def missing(self, digests: Iterable[Digest]) -> Sequence[Digest]:
        return [name for name in digests if name not in self._blobs]

    async def put(self, entry: Artifact, data: bytes, *, expected_version: int) -> Artifact:
        if entry.run in self._deleted:
            raise entries.deleted_entries(entry.run)
        versions = self._entries.setdefault(entry.run, {}).setdefault(entry.name, [])
        if len(versions) != expected_version:
            raise entries.conflict(entry, expected_version, versions[-1] if versions else None)
        (name,) = await self.put_many([data])
        kept = entries.filled(entry, name, len(data), expected_version + 1)
        versions.append(kept)
        return kept

    async def get(self, run: RunId, name: str, *, version: int | None = None) -> tuple[Artifact, bytes]:
        versions = self._entries.get(run, {}).get(name, [])
        wanted = len(versions) if version is None else version
        if not 1 <= wanted <= len(versions):
            raise entries.missing_entry(run, name, version)
        entry = versions[wanted - 1]
        return entry, self._blob(entry.digest)

    async def entries(self, run: RunId) -> Sequence[Artifact]:
        return [entry for _, versions in sorted(self._entries.get(run, {}).items()) for entry in versions]

    async def delete_run(self, run: RunId) -> None:
        self._deleted.add(run)
        self._entries.pop(run, None)

    def _blob(self, name: Digest) -> bytes:
        body = self._blobs.get(name)
        if body is None:
            raise refusals.missing_blob(name)
        if digest(body) != name:
            raise refusals.damaged_blob(name)
        return body
