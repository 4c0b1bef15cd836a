"""Bundles: one run in one file, with everything that its records name.

    tenuto bundle 1
    head <SHA-256 of the last record>
    run <id>
    records <n>
    blobs <m>
    <record 0, exactly as stored>
    ...
    <SHA-256> <length>
    <bytes>
    ...

Every line ends in a newline, so does every blob. Records are canonical JSON, which has no newline in it; blobs stand
in the order of their digests. There is nothing else: no times, no names of files, no compression. So the head decides
every byte of the file, and the file can be checked against it.

Format 1 is read for ever. Another one gets another number in the first line.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from tenuto.core.ids import Digest, RunId
from tenuto.errors import DamagedStoreError, MissingArtifactError, NewerStoreError, StorageError, UsageError
from tenuto.ports.artifacts import BlobStore
from tenuto.ports.journal import StoredRecord

__all__ = [
    "BLOB_BYTES_MAX",
    "RECORD_BYTES_MAX",
    "SUFFIX",
    "BundleHead",
    "OpenBundle",
    "open_bundle",
    "write_bundle",
]

SUFFIX = ".tenuto"
FORMAT = 1
MAGIC = "tenuto bundle"
LINE_BYTES_MAX = 200
"""Of a line that is no record: ids have at most 100 characters."""
COUNT_MAX = 10_000_000
RECORD_BYTES_MAX = 64 << 20
RECORDS_BYTES_MAX = 2 << 30
BLOB_BYTES_MAX = 1 << 30
BLOBS_BYTES_MAX = 64 << 30

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,11})\Z")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_REMEDY = "get the file again from where it was exported"


class BundleHead(NamedTuple):
    """The first lines of a bundle."""

    head: Digest
    run: RunId
    records: int
    blobs: int


class _Place(NamedTuple):
    offset: int
    length: int


class OpenBundle(BlobStore):
    """A bundle whose framing, records' hashes and blobs' digests hold. What they mean is for others to check.

    Its blobs are read from the file when they are asked for, and checked again then.
    """

    def __init__(
        self, file: BinaryIO, path: Path, head: BundleHead, records: list[StoredRecord], places: dict[Digest, _Place]
    ) -> None:
        self._file = file
        self._path = path
        self._places = places
        self.head = head
        self.records: Sequence[StoredRecord] = records

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def digests(self) -> Sequence[Digest]:
        """All blobs, in order."""
        return list(self._places)

    def length(self, blob: Digest) -> int:
        """Bytes of a blob."""
        return self._places[blob].length

    async def put_many(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        """Nothing is put into a bundle that exists: StorageError."""
        raise StorageError(f"a bundle is only read; it takes no {len(bodies)} bodies", where=str(self._path))

    async def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        return {blob: self._read(blob) for blob in digests}

    async def missing(self, digests: Iterable[Digest]) -> Sequence[Digest]:
        return [blob for blob in digests if blob not in self._places]

    def close(self) -> None:
        """Idempotent."""
        self._file.close()

    def _read(self, blob: Digest) -> bytes:
        place = self._places.get(blob)
        if place is None:
            raise MissingArtifactError(f"the bundle lacks the body {blob}", where=str(self._path), fix=_REMEDY)
        self._file.seek(place.offset)
        body = self._file.read(place.length)
        if hashlib.sha256(body).hexdigest() != blob:
            raise DamagedStoreError(f"the body {blob} has changed", where=str(self._path), fix=_REMEDY)
        return body


async def write_bundle(
    out: BinaryIO, head: BundleHead, records: Iterable[bytes], blobs: AsyncIterator[tuple[Digest, bytes]]
) -> None:
    """Write a bundle: records in their order, blobs in that of their digests. StorageError for one too large."""
    lines = [f"{MAGIC} {FORMAT}", f"head {head.head}", f"run {head.run}"]
    lines += [f"records {head.records}", f"blobs {head.blobs}"]
    out.write("".join(f"{line}\n" for line in lines).encode())
    for number, record in enumerate(records):
        _refuse_large(f"record {number}", len(record), RECORD_BYTES_MAX)
        out.write(record + b"\n")
    async for digest, body in blobs:
        _refuse_large(f"the body {digest}", len(body), BLOB_BYTES_MAX)
        out.write(f"{digest} {len(body)}\n".encode())
        out.write(body + b"\n")


def _refuse_large(what: str, size: int, most: int) -> None:
    if size > most:
        raise StorageError(f"{what} has {size} bytes; a bundle takes {most}", fix="copy the store instead")


def open_bundle(path: Path) -> OpenBundle:
    """Read a bundle through once. Memory: its records, and one blob at a time.

    UsageError where there is no file; DamagedStoreError for what `write_bundle` cannot have written, NewerStoreError
    for a later format.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path), fix="name a file of `tenuto export`") from None
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path), fix="name a bundle") from None
    try:
        return _Reading(file, path).bundle()
    except OSError as error:
        file.close()
        raise StorageError(f"cannot be read ({error.strerror})", where=str(path), fix="check the disk") from None
    except BaseException:
        file.close()
        raise


class _Reading:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = os.fstat(file.fileno()).st_size

    def bundle(self) -> OpenBundle:
        head = self._head()
        records = self._records(head)
        places = self._blobs(head)
        if self._file.read(1):
            self._refuse("it goes on after its end")
        return OpenBundle(self._file, self._path, head, records, places)

    def _head(self) -> BundleHead:
        first = self._file.readline(LINE_BYTES_MAX).decode("utf-8", "replace").removesuffix("\n")
        magic, _, version = first.rpartition(" ")
        if magic != MAGIC or not _NUMBER.match(version):
            self._refuse("this is no bundle")
        if int(version) != FORMAT:
            raise NewerStoreError(
                f"the bundle has format {version}; this tenuto reads {FORMAT}",
                where=str(self._path),
                fix="use the tenuto that exported it, or a newer one",
            )
        found = BundleHead(
            Digest(self._field("head", _HEX)),
            RunId(self._field("run", _RUN)),
            int(self._field("records", _NUMBER)),
            int(self._field("blobs", _NUMBER)),
        )
        if not 1 <= found.records <= COUNT_MAX or found.blobs > COUNT_MAX:
            self._refuse("its counts are impossible")
        return found

    def _field(self, name: str, pattern: re.Pattern[str]) -> str:
        key, _, value = self._line().partition(" ")
        if key != name or not pattern.match(value):
            self._refuse(f"it does not say its {name}")
        return value

    def _line(self) -> str:
        line = self._file.readline(LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            self._refuse("it is cut off" if self._file.tell() >= self._size else "a line of it is too long")
        try:
            return line[:-1].decode("ascii")
        except UnicodeDecodeError:
            self._refuse("a line of it cannot be read")

    def _records(self, head: BundleHead) -> list[StoredRecord]:
        records: list[StoredRecord] = []
        rest = RECORDS_BYTES_MAX
        for seq in range(head.records):
            line = self._file.readline(min(RECORD_BYTES_MAX, rest) + 1)
            if not line.endswith(b"\n"):
                ended = self._file.tell() >= self._size
                self._refuse("it is cut off" if ended else f"record {seq} is larger than a bundle may hold")
            rest -= len(line)
            body = line[:-1]
            records.append(StoredRecord(seq, Digest(hashlib.sha256(body).hexdigest()), body))
        if records[-1].hash != head.head:
            self._refuse(f"its last record is not the head {head.head[:16]} that it names")
        return records

    def _blobs(self, head: BundleHead) -> dict[Digest, _Place]:
        places: dict[Digest, _Place] = {}
        rest = BLOBS_BYTES_MAX
        before = ""
        for _ in range(head.blobs):
            digest, _, given = self._line().partition(" ")
            if not _HEX.match(digest) or digest <= before or not _NUMBER.match(given):
                self._refuse("a body has no name, or not its place")
            before, length = digest, int(given)
            if length > min(BLOB_BYTES_MAX, rest):
                self._refuse(f"the body {digest[:16]} is larger than a bundle may hold")
            offset = self._file.tell()
            if offset + length + 1 > self._size:
                self._refuse("it is cut off")
            body = self._file.read(length)
            if hashlib.sha256(body).hexdigest() != digest or self._file.read(1) != b"\n":
                self._refuse(f"the body {digest[:16]} is not what was exported")
            rest -= length
            places[Digest(digest)] = _Place(offset, length)
        return places

    def _refuse(self, what: str) -> NoReturn:
        raise DamagedStoreError(what, where=str(self._path), fix=_REMEDY)
