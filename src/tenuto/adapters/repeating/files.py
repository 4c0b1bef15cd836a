"""System calls that tell about files: when they were changed, and what a directory holds.

Files newer than the clock's moment show that moment: whatever a run writes, or writes out, is newer. File numbers
are those of the order in which the command met the files. Directories are listed by name.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress

from tenuto.adapters.repeating.calls import Call
from tenuto.adapters.repeating.process import Process
from tenuto.adapters.repeating.ptrace import Registers, write_registers
from tenuto.adapters.repeating.thread import After, Thread

__all__ = ["FileNumbers", "Files"]

_STAT_BYTES, _STATX_BYTES = 144, 256
_STAT_TIMES = (72, 88, 104)
_STATX_TIMES = (64, 80, 96, 112)
_FIRST_NUMBER = 1_000
_LISTING_BYTES = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


class FileNumbers:
    """Numbers by device and the file system's own number."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], int] = {}

    def of(self, device: int, number: int) -> int:
        return self._known.setdefault((device, number), _FIRST_NUMBER + len(self._known))


class Files:
    """`newest_s`: files of this time, in seconds since 1970, and later ones show `shown_s`."""

    def __init__(self, newest_s: int, shown_s: int) -> None:
        self._newest_s = newest_s
        self._shown = struct.pack("=qq", shown_s, 0)
        self._numbers = FileNumbers()

    def stat(self, thread: Thread, registers: Registers) -> After | None:
        """`stat`, `lstat` and `fstat`."""
        return self._stat(thread, registers.rsi)

    def stat_at(self, thread: Thread, registers: Registers) -> After | None:
        """`newfstatat`."""
        return self._stat(thread, registers.rdx)

    def _stat(self, thread: Thread, address: int) -> After | None:
        def rewrite(after: Registers) -> None:
            data = thread.read(address, _STAT_BYTES) if after.result == 0 else None
            if data is None:
                return
            device, number = struct.unpack_from("=QQ", data)
            told = bytearray(data)
            struct.pack_into("=Q", told, 8, self._numbers.of(device, number))
            self._set_times(told, _STAT_TIMES)
            thread.write(address, bytes(told))

        return rewrite

    def statx(self, thread: Thread, registers: Registers) -> After | None:
        address = registers.r8

        def rewrite(after: Registers) -> None:
            data = thread.read(address, _STATX_BYTES) if after.result == 0 else None
            if data is None:
                return
            device = os.makedev(*struct.unpack_from("=II", data, 136))
            told = bytearray(data)
            struct.pack_into("=Q", told, 32, self._numbers.of(device, struct.unpack_from("=Q", data, 32)[0]))
            self._set_times(told, _STATX_TIMES)
            thread.write(address, bytes(told))

        return rewrite

    def _set_times(self, told: bytearray, places: tuple[int, ...]) -> None:
        for place in places:
            if struct.unpack_from("=q", told, place)[0] >= self._newest_s:
                told[place : place + 12] = self._shown[:12]

    def list_directory(self, thread: Thread, registers: Registers) -> After | None:
        """`getdents64`. The call is made, too: the file system's position tells where a listing begins."""
        process, descriptor = thread.process, registers.rdi & 0xFFFFFFFF
        if _position(thread.pid, descriptor) == 0:
            process.listings.pop(descriptor, None)
            with suppress(OSError):
                process.listings[descriptor] = self._listing(thread.pid, descriptor), 0
        if descriptor not in process.listings:
            return None
        address, room = registers.rsi, registers.rdx & 0xFFFFFFFF

        def put(after: Registers) -> None:
            if after.result >= 0:
                _give(thread, process, descriptor, after, address, room)

        return put

    def _listing(self, pid: int, descriptor: int) -> list[bytes]:
        """The entries of an open directory, sorted by name, as the kernel would hand them out."""
        opened = os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            device = os.fstat(opened).st_dev
            found: list[tuple[bytes, int, int]] = []
            buffer = ctypes.create_string_buffer(_LISTING_BYTES)
            while (length := _libc.syscall(int(Call.getdents64), opened, buffer, _LISTING_BYTES)) > 0:
                found += _entries(buffer.raw[:length])
        finally:
            os.close(opened)
        return [
            _entry(name, self._numbers.of(device, number), index + 1, kind)
            for index, (name, number, kind) in enumerate(sorted(found))
        ]


def _position(pid: int, descriptor: int) -> int:
    """How far an open directory was read; -1 where it is not open."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/fdinfo/{descriptor}", "rb") as file:
        return int(file.readline().split()[1])
    return -1


def _entries(data: bytes) -> list[tuple[bytes, int, int]]:
    """Name, number and kind of each entry."""
    found = []
    at = 0
    while at < len(data):
        number, _, length, kind = struct.unpack_from("=QqHB", data, at)
        found.append((data[at + 19 : at + length].partition(b"\0")[0], number, kind))
        at += length
    return found


def _entry(name: bytes, number: int, next_one: int, kind: int) -> bytes:
    length = (19 + len(name) + 1 + 7) & ~7
    return (struct.pack("=QqHB", number, next_one, length, kind) + name).ljust(length, b"\0")


def _give(thread: Thread, process: Process, descriptor: int, after: Registers, address: int, room: int) -> None:
    """Hand out as many entries as there is room for. None is left out: a name has at most 255 bytes."""
    entries, given = process.listings[descriptor]
    data = b""
    while given < len(entries) and len(data) + len(entries[given]) <= room:
        data += entries[given]
        given += 1
    process.listings[descriptor] = entries, given
    if thread.write(address, data):
        after.rax = len(data)
        write_registers(thread.pid, after)
