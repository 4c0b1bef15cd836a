"""Artifacts in memory and as files: the contract, and what only files can get wrong."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tenuto.adapters.stores.entry_files import file_name
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.core.artifacts import Artifact
from tenuto.core.canonical import digest
from tenuto.errors import DamagedStoreError, NewerStoreError, StorageError
from tenuto.ports.artifacts import ArtifactStore
from tenuto.testing.contracts.artifacts import RUN, ArtifactStoreContract, ArtifactStores, draft
from tenuto.testing.contracts.journal import refused


class MemoryArtifacts(ArtifactStores):
    def __init__(self) -> None:
        self.store = InMemoryArtifactStore()

    def open(self) -> ArtifactStore:
        return self.store


class FileArtifacts(ArtifactStores):
    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> ArtifactStore:
        return FileArtifactStore(self.root)


class TestInMemoryArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def stores(self) -> MemoryArtifacts:
        return MemoryArtifacts()


class TestFileArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def stores(self, tmp_path: Path) -> FileArtifacts:
        return FileArtifacts(tmp_path / "artifacts")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


async def test_one_changed_byte_is_found(root: Path) -> None:
    store = FileArtifactStore(root)
    entry = await store.put(draft(), b"body of the report", expected_version=0)
    (blob,) = files_in(root / "blobs")
    blob.write_bytes(b"body of the repOrt")
    assert entry.digest in str(await refused(DamagedStoreError, store.get(RUN, "report")))
    assert str(blob) in str(await refused(DamagedStoreError, store.get_many([entry.digest])))


async def test_every_flipped_bit_of_an_entry_is_found(root: Path) -> None:
    store = FileArtifactStore(root)
    kept = await store.put(draft(producing_step="fix", labels={"a": "b"}), b"body", expected_version=0)
    (path,) = files_in(root / "entries")
    whole = path.read_bytes()
    for at in range(0, len(whole) * 8, 5):
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        try:
            entry, _ = await store.get(RUN, "report")
        except StorageError:
            continue
        assert entry == kept, f"bit {at} changed the entry and nothing noticed"


async def test_an_entry_of_a_newer_tenuto_is_left_alone(root: Path) -> None:
    store = FileArtifactStore(root)
    await store.put(draft(), b"body", expected_version=0)
    (path,) = files_in(root / "entries")
    newer = path.read_bytes().replace(b'"format":1', b'"format":2')
    path.write_bytes(newer)
    await refused(NewerStoreError, store.get(RUN, "report"))
    assert path.read_bytes() == newer


async def test_a_second_put_only_refreshes_the_age(root: Path) -> None:
    store = FileArtifactStore(root)
    await store.put_many([b"body"])
    (blob,) = files_in(root / "blobs")
    os.utime(blob, (1_000, 1_000))
    inode = blob.stat().st_ino
    await store.put_many([b"body"])
    assert files_in(root / "blobs") == [blob]
    assert blob.stat().st_ino == inode
    assert blob.stat().st_mtime > 1_000


async def test_a_truncated_blob_is_mended_by_the_next_put(root: Path) -> None:
    store = FileArtifactStore(root)
    (name,) = await store.put_many([b"body"])
    (blob,) = files_in(root / "blobs")
    blob.write_bytes(b"")
    await store.put_many([b"body"])
    assert await store.get_many([name]) == {name: b"body"}


async def test_nothing_is_left_in_the_temporary_folder(root: Path) -> None:
    store = FileArtifactStore(root)
    await store.put_many([b"%d" % n for n in range(20)])
    await store.put(draft(), b"body", expected_version=0)
    await store.delete_run(RUN)
    assert files_in(root / "tmp") == []
    assert files_in(root / "trash") == []


@pytest.fixture
def short_of_space() -> Iterator[None]:
    """No file may grow beyond 64 KiB: the write fails half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("short_of_space")
async def test_a_write_that_does_not_fit_leaves_nothing_behind(root: Path) -> None:
    store = FileArtifactStore(root)
    large = b"x" * 200_000
    error = await refused(StorageError, store.put(draft(), large, expected_version=0))
    assert error.fix
    assert str(root) in error.where
    assert list(await store.missing([digest(large)])) == [digest(large)]
    assert list(await store.entries(RUN)) == []
    assert files_in(root / "tmp") == []
    await store.put(draft(), b"small", expected_version=0)


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileArtifactStore(tmp_path / "file")
    assert str(tmp_path / "file") in str(await refused(StorageError, store.put_many([b"x"])))
    await refused(StorageError, store.put(draft(), b"x", expected_version=0))


def test_file_names_are_safe_and_differ() -> None:
    names = ["a", "A", "a/b", "a%2Fb", ".", "..", "...", "", "%", "%2E", "-", "\ud800", "ä", "x" * 300, "x" * 301]
    encoded = [file_name(name) for name in names]
    assert len(set(encoded)) == len(names)
    assert all(len(name) <= 255 and not name.startswith(".") and "/" not in name and name for name in encoded)
    assert file_name("report-1.txt") == "report-1.txt"


async def entries_of(root: Path) -> Sequence[Artifact]:
    return await FileArtifactStore(root).entries(RUN)


WRITER = """
import asyncio, sys
from pathlib import Path
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.testing.contracts.artifacts import draft
from tenuto.errors import ArtifactConflictError

async def main():
    store, wins = FileArtifactStore(Path(sys.argv[1])), 0
    for version in range(40):
        try:
            await store.put(draft(producing_step=sys.argv[2]), sys.argv[2].encode(), expected_version=version)
            wins += 1
        except ArtifactConflictError:
            pass
    print(wins)

asyncio.run(main())
"""


def test_processes_share_a_name_without_losing_a_version(root: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(root), name], stdout=subprocess.PIPE, text=True)
        for name in ("ann", "bob")
    ]
    wins = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    entries = asyncio.run(entries_of(root))
    assert [entry.version for entry in entries] == list(range(1, sum(wins) + 1))
    assert [sum(entry.producing_step == name for entry in entries) for name in ("ann", "bob")] == wins


ENDLESS = """
import asyncio, sys
from pathlib import Path
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.testing.contracts.artifacts import draft

async def main():
    store, version = FileArtifactStore(Path(sys.argv[1])), 0
    while True:
        await store.put(draft(), b"%d" % version * 10_000, expected_version=version)
        version += 1
        print(version, flush=True)

asyncio.run(main())
"""


def endless_writer(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", ENDLESS, str(root)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("lines", [1, 7, 30])
async def test_a_killed_writer_leaves_what_it_promised_and_nothing_half(root: Path, lines: int) -> None:
    writer = endless_writer(root)
    assert writer.stdout
    said = [writer.stdout.readline() for _ in range(lines)]
    writer.kill()
    said += writer.stdout.read().splitlines()
    writer.stdout.close()
    writer.wait()

    store = FileArtifactStore(root)
    entries = await store.entries(RUN)
    assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) >= int(said[-1])
    for entry in entries:
        assert await store.get(RUN, "report", version=entry.version) == (entry, b"%d" % (entry.version - 1) * 10_000)
    for blob in files_in(root / "blobs"):
        assert digest(blob.read_bytes()) == blob.name
    # A file that never got its name is no blob, and the next writer goes on.
    assert all(path.parent == root / "tmp" for path in files_in(root) if path.name.startswith(f"{writer.pid}-"))
    await store.put(draft(), b"next", expected_version=len(entries))
