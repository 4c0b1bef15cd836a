"""System calls that give random bytes, and files that do."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from tenuto.adapters.repeating.process import Process
from tenuto.adapters.repeating.ptrace import Registers, read_text, write_registers
from tenuto.adapters.repeating.thread import After, Thread

__all__ = ["Pipes", "getrandom"]

_AT_ONCE = 1 << 20
_DEVICES = frozenset((b"/dev/urandom", b"/dev/random"))
_UUID = b"/proc/sys/kernel/random/uuid"
_WRITING = os.O_WRONLY | os.O_RDWR
_CHUNK = 1 << 16


def getrandom(thread: Thread, registers: Registers) -> After | None:
    length = min(registers.rsi, _AT_ONCE)
    if thread.write(registers.rdi, thread.process.random(length)):
        thread.answer(registers, length)
    return None


class Pipes:
    """In the place of a random device, a program opens a pipe from which it reads bytes without end."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._made = 0

    def open(self, thread: Thread, registers: Registers) -> After | None:
        return self._open(thread, registers, "rdi", registers.rsi)

    def open_at(self, thread: Thread, registers: Registers) -> After | None:
        """`openat`."""
        return self._open(thread, registers, "rsi", registers.rdx)

    def _open(self, thread: Thread, registers: Registers, name: str, flags: int) -> After | None:
        given = getattr(registers, name)
        path = read_text(thread.pid, given)
        if (path not in _DEVICES and path != _UUID) or flags & _WRITING:
            return None
        place = self._pipe(thread.process, once=path == _UUID)
        setattr(registers, name, thread.lend(registers, place.encode() + b"\0"))
        write_registers(thread.pid, registers)

        def restore(after: Registers) -> None:
            # The file is no longer needed by its name, whoever opened it.
            with suppress(OSError):
                os.unlink(place)
            setattr(after, name, given)
            write_registers(thread.pid, after)

        return restore

    def _pipe(self, process: Process, *, once: bool) -> str:
        self._made += 1
        place = f"{self._directory}/{self._made}"
        os.mkfifo(place, 0o600)
        key = process.random(32)
        source = Process(key, 0)
        threading.Thread(target=_feed, args=(place, source, once), daemon=True).start()
        return place


def _feed(place: str, source: Process, once: bool) -> None:
    """Write until nobody reads any more."""
    with suppress(OSError), open(place, "wb", buffering=0) as pipe:
        if once:
            pipe.write(_uuid(source.random(16)))
            return
        while True:
            data = memoryview(source.random(_CHUNK))
            while data:
                data = data[pipe.write(data) or 0 :]


def _uuid(data: bytes) -> bytes:
    made = bytearray(data)
    made[6] = made[6] & 0x0F | 0x40
    made[8] = made[8] & 0x3F | 0x80
    text = made.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}\n".encode()
