"""The `heads` note: what a store acknowledged, kept beside it and outside of it.

A SQLite that opens a log with one bad checksum drops everything after it and says nothing, so the store alone
cannot know that it lost its end. The note can: one slot a run, written after each commit, never synced. It is a
note and not the truth: a missing, torn or older slot proves nothing and is ignored. Only a slot that knows more
than the store is proof of a loss. So it must be read before the store is looked at.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path

from tenuto.core.ids import Digest, RunId
from tenuto.errors import DamagedStoreError
from tenuto.ports.journal import Head

__all__ = ["HeadsNote", "has_noted"]

_HEADER = b"tenuto heads 1\n".ljust(64, b"\n")
_SLOT = struct.Struct("<16sq32s")
_SLOT_BYTES = 64
"""Slots are aligned and smaller than a page, so that concurrent writers of different runs never meet."""


class HeadsNote:
    """Slot `num` belongs to the run of that number in its store. Opened when first used; failures to write are
    ignored (an older note is harmless)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._tags: dict[RunId, bytes] = {}
        self._usable = True
        self._opening = threading.Lock()

    def write(self, heads: Mapping[int, tuple[RunId, Head] | None]) -> None:
        """Note committed heads by the number of their run; None forgets a run that was deleted."""
        nums = sorted(heads)
        start = 0
        for end in range(1, len(nums) + 1):
            if end == len(nums) or nums[end] != nums[end - 1] + 1:
                # Neighbours go together: runs that were made one after another have theirs side by side.
                self._put(nums[start], b"".join(self._packed(heads[num]) for num in nums[start:end]))
                start = end

    def read(self, num: int, run: RunId) -> Head | None:
        """What is noted of the run; None where nothing usable is."""
        tag, head = self._slot(num) or (b"", None)
        return head if tag == self._tag(run) else None

    def occupied(self, num: int) -> bool:
        """Whether the slot holds an acknowledged head of any run."""
        return self._slot(num) is not None

    def find(self, run: RunId) -> Head | None:
        """What is noted of a run whose number the store does not know (any more). Reads the whole note."""
        tag = self._tag(run)
        descriptor = self._open(create=False)
        if descriptor is None:
            return None
        slots = os.fstat(descriptor).st_size // _SLOT_BYTES
        for num in range(1, slots + 1):
            found = self._slot(num)
            if found is not None and found[0] == tag:
                return found[1]
        return None

    def check(self, run: RunId, noted: Head | None, found: Head) -> None:
        """DamagedStoreError where `noted`, read before the store was, knows more than the store."""
        if noted is None or found.seq > noted.seq or found == noted:
            return
        raise self.loss(run, noted, found.seq)

    def loss(self, run: RunId, noted: Head, found_seq: int) -> DamagedStoreError:
        found = f"it ends at seq {found_seq}" if found_seq < noted.seq else "that record is another one"
        return DamagedStoreError(
            f"the journal of run {run} lost acknowledged records: seq {noted.seq} ({noted.hash[:12]}) was written, "
            f"but now {found}",
            where=str(self._path),
            fix="restore the store from a backup, or remove this note to accept the loss",
        )

    def close(self) -> None:
        with self._opening:
            self._usable = False
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _packed(self, noted: tuple[RunId, Head] | None) -> bytes:
        if noted is None:
            return bytes(_SLOT_BYTES)
        run, head = noted
        packed = _SLOT.pack(self._tag(run), head.seq, bytes.fromhex(head.hash))
        return (packed + zlib.crc32(packed).to_bytes(4, "little")).ljust(_SLOT_BYTES, b"\0")

    def _slot(self, num: int) -> tuple[bytes, Head] | None:
        descriptor = self._open(create=False)
        if descriptor is None:
            return None
        try:
            data = os.pread(descriptor, _SLOT_BYTES, num * _SLOT_BYTES)
        except OSError:
            return None
        packed, check = data[: _SLOT.size], data[_SLOT.size : _SLOT.size + 4]
        if len(check) < 4 or not any(packed) or zlib.crc32(packed).to_bytes(4, "little") != check:
            return None
        tag, seq, hashed = _SLOT.unpack(packed)
        return tag, Head(seq, Digest(hashed.hex()))

    def _put(self, num: int, data: bytes) -> None:
        descriptor = self._open(create=True)
        if descriptor is None:
            return
        try:
            os.pwrite(descriptor, data, num * _SLOT_BYTES)
        except OSError:
            self._usable = False

    def _open(self, *, create: bool) -> int | None:
        if self._descriptor is not None and self._usable:
            return self._descriptor
        with self._opening:
            if self._descriptor is None and self._usable:
                self._descriptor = self._opened(create=create)
            return self._descriptor if self._usable else None

    def _opened(self, *, create: bool) -> int | None:
        flags = os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            try:
                descriptor = os.open(self._path, flags | os.O_RDWR, 0o644)
            except OSError as error:
                if create or error.errno not in (errno.EACCES, errno.EROFS):
                    raise
                descriptor = os.open(self._path, flags | os.O_RDONLY)
            header = os.pread(descriptor, len(_HEADER), 0)
            if not header and create:
                os.pwrite(descriptor, _HEADER, 0)
            elif header != _HEADER:
                # Another format, or damage: proves nothing, and is not ours to overwrite.
                os.close(descriptor)
                self._usable = bool(not header)
                return None
        except OSError:
            self._usable = not create
            return None
        return descriptor

    def _tag(self, run: RunId) -> bytes:
        tag = self._tags.get(run)
        if tag is None:
            tag = self._tags[run] = hashlib.sha256(run.encode("utf-8", "surrogatepass")).digest()[:16]
        return tag


def has_noted(path: Path) -> bool:
    """Whether the note of that path holds an acknowledged head of any run; False without a note. Reads all of it."""
    note = HeadsNote(path)
    try:
        return any(note.occupied(num) for num in range(1, path.stat().st_size // _SLOT_BYTES + 1))
    except OSError:
        return False
    finally:
        note.close()
