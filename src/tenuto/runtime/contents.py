"""Where bodies live: small blobs in the journal's own store, large ones in the artifact store, by digest alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tenuto.core.canonical import digest
from tenuto.core.content import INLINE_MAX
from tenuto.core.ids import Digest
from tenuto.errors import MissingArtifactError
from tenuto.ports.artifacts import BlobStore
from tenuto.ports.journal import Journal

__all__ = ["Contents"]


class Contents(BlobStore):
    """One view of both stores. Blobs are immutable, so nothing is ever in the wrong one, at worst in both."""

    def __init__(self, journal: Journal, large: BlobStore) -> None:
        self._journal = journal
        self._large = large

    async def put_many(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        digests = [digest(body) for body in bodies]
        small = {d: b for d, b in zip(digests, bodies, strict=True) if len(b) <= INLINE_MAX}
        large = [b for b in bodies if len(b) > INLINE_MAX]
        if small:
            await self._journal.put_blobs(small)
        if large:
            await self._large.put_many(large)
        return digests

    async def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        wanted = list(dict.fromkeys(digests))
        found = dict(await self._journal.blobs(wanted))
        rest = [d for d in wanted if d not in found]
        if rest:
            found.update(await self._large.get_many(rest))
        return found

    async def missing(self, digests: Iterable[Digest]) -> Sequence[Digest]:
        wanted = list(dict.fromkeys(digests))
        found = await self._journal.blobs(wanted)
        return await self._large.missing([d for d in wanted if d not in found])

    async def get(self, wanted: Digest) -> bytes:
        """One verified body. MissingArtifactError, DamagedStoreError."""
        found = (await self.get_many([wanted])).get(wanted)
        if found is None:
            raise MissingArtifactError(f"the store has no body {wanted}", fix="run `tenuto verify` on the run")
        return found
