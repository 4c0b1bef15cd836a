"""What a program is given by the kernel when it starts: made repeatable before its first instruction.

Without the page of code that answers for the kernel (vDSO) it asks for the time by system calls, which are seen.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator

from tenuto.adapters.repeating.ptrace import GoneError, read_memory, read_registers, write_memory
from tenuto.adapters.repeating.thread import Thread

__all__ = ["begin_image", "refuse_random_addresses"]

_NO_RANDOM_ADDRESSES = 0x0040000
_END, _IGNORE, _RANDOM, _SYSTEM_PAGE = 0, 1, 25, 33
_RANDOM_BYTES = 16
_PAGE = 4_096


def refuse_random_addresses() -> None:
    """Programs that this process becomes are loaded at the same addresses each time. OSError where that cannot be."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.personality(ctypes.c_ulong(_NO_RANDOM_ADDRESSES)) == -1:
        raise OSError(ctypes.get_errno(), "addresses cannot be fixed")


def begin_image(thread: Thread) -> None:
    """For a program that was just loaded."""
    words = _words(thread.pid, read_registers(thread.pid).rsp)
    next(words)  # how many arguments there are
    for _ in range(2):  # arguments, environment
        while next(words)[1]:
            pass
    while True:
        address, kind = next(words)
        _, value = next(words)
        if kind == _END:
            return
        if kind == _SYSTEM_PAGE:
            write_memory(thread.pid, address, struct.pack("=Q", _IGNORE))
        elif kind == _RANDOM:
            write_memory(thread.pid, value, thread.process.random(_RANDOM_BYTES))


def _words(pid: int, address: int) -> Iterator[tuple[int, int]]:
    """Eight bytes at a time from an address on, with their own addresses."""
    while True:
        length = _PAGE - address % _PAGE
        data = read_memory(pid, address, length)
        if data is None:
            raise GoneError
        for offset in range(0, length, 8):
            yield address + offset, struct.unpack_from("=Q", data, offset)[0]
        address += length
