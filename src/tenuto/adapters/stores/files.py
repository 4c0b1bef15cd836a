"""Artifacts as files: blobs under their digest, entries as small JSON files that are created and never changed.

```
blobs/ab/<sha256>              temporary file, fsync, rename, fsync of the folder
entries/<run>/<name>/<n>.json  version n of an artifact, created by linking: that is the compare-and-swap
deleted/<run>                  tombstone: nothing is read from or written to the run any more
tmp/  trash/                   on their way in and out
sweep.lock                     held shared by writers of blobs; a sweep holds it alone
```
Works between processes: nothing here depends on what this object remembers.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tenuto.adapters.stores import entries, refusals
from tenuto.adapters.stores.durable_files import file_errors, make_folder, sync_folders, synced_temporary
from tenuto.adapters.stores.entry_files import EntryFiles
from tenuto.core.artifacts import Artifact
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.ports.artifacts import ArtifactStore

__all__ = ["FileArtifactStore"]

YOUNG_S = 60
"""A blob this young may be another writer's whose folder is not synced yet: then this writer does it too."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class FileArtifactStore(ArtifactStore):
    """Made on first use. Blocking work runs on threads of the event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "blobs"
        self._temporary = root / "tmp"
        self._entries = EntryFiles(root)

    async def put_many(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        return await asyncio.to_thread(self._put_many, bodies) if bodies else []

    async def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        names = list(digests)
        return await asyncio.to_thread(lambda: {name: self._blob(name) for name in names}) if names else {}

    async def missing(self, digests: Iterable[Digest]) -> Sequence[Digest]:
        with file_errors(self._blobs):
            return [name for name in digests if not _DIGEST.match(name) or not self._path(name).exists()]

    async def put(self, entry: Artifact, data: bytes, *, expected_version: int) -> Artifact:
        def work() -> Artifact:
            self._entries.check(entry, expected_version)
            (name,) = self._put_many([data])
            kept = entries.filled(entry, name, len(data), expected_version + 1)
            self._entries.add(kept)
            return kept

        return await asyncio.to_thread(work)

    async def get(self, run: RunId, name: str, *, version: int | None = None) -> tuple[Artifact, bytes]:
        def work() -> tuple[Artifact, bytes]:
            entry = self._entries.read(run, name, version)
            return entry, self._blob(entry.digest)

        return await asyncio.to_thread(work)

    async def entries(self, run: RunId) -> Sequence[Artifact]:
        return await asyncio.to_thread(self._entries.all_of, run)

    async def delete_run(self, run: RunId) -> None:
        await asyncio.to_thread(self._entries.delete, run)

    def _path(self, name: Digest) -> Path:
        return self._blobs / name[:2] / name

    def _put_many(self, bodies: Sequence[bytes]) -> list[Digest]:
        names = [digest(body) for body in bodies]
        unsynced: set[Path] = set()
        with file_errors(self._root), self._not_swept():
            for name, body in dict(zip(names, bodies, strict=True)).items():
                path = self._path(name)
                if not self._refresh(path, len(body), unsynced):
                    make_folder(path.parent, self._root)
                    with synced_temporary(self._temporary, body) as temporary:
                        temporary.rename(path)
                    unsynced.add(path.parent)
            sync_folders(sorted(unsynced))
        return names

    def _refresh(self, path: Path, size: int, unsynced: set[Path]) -> bool:
        """Give a blob that is there a new age. False where it is not there, or cannot be what it should be."""
        try:
            found = path.stat()
            if found.st_size != size:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        if time.time() - found.st_ctime < YOUNG_S:
            unsynced.add(path.parent)
        return True

    def _blob(self, name: Digest) -> bytes:
        if not _DIGEST.match(name):
            raise refusals.missing_blob(name, str(self._blobs))
        path = self._path(name)
        with file_errors(path):
            try:
                body = path.read_bytes()
            except FileNotFoundError:
                raise refusals.missing_blob(name, str(path)) from None
        if digest(body) != name:
            raise refusals.damaged_blob(name, str(path))
        return body

    @contextmanager
    def _not_swept(self) -> Iterator[None]:
        """A sweep must not take a blob between the look at it and the refreshing of its age."""
        path = self._root / "sweep.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            self._root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)
