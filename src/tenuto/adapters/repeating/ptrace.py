"""The kernel's interface for following processes: stops, registers and memory (x86_64 only).

Nothing outside the standard library is used in this package: it runs inside the sandbox, before the command.
"""

from __future__ import annotations

import ctypes
import os
from errno import EFAULT, EIO, ESRCH
from typing import Any

__all__ = [
    "CALL_STOP",
    "EVENT_CLONE",
    "EVENT_EXEC",
    "EVENT_FORK",
    "EVENT_SECCOMP",
    "EVENT_STOP",
    "EVENT_VFORK",
    "WAIT_ALL",
    "GoneError",
    "Registers",
    "event_message",
    "go_on",
    "read_memory",
    "read_registers",
    "read_text",
    "seize",
    "write_memory",
    "write_registers",
]

EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_SECCOMP, EVENT_STOP = 1, 2, 3, 4, 7, 128
CALL_STOP = 0x80
"""Added to SIGTRAP where a system call is over."""
WAIT_ALL = 0x40000000
"""For waitpid: threads too."""
_CONT, _GETREGS, _SETREGS, _CALL = 7, 12, 13, 24
_GETEVENTMSG, _SEIZE, _LISTEN = 0x4201, 0x4206, 0x4208
_TRACE_CALLS, _TRACE_FORK, _TRACE_VFORK, _TRACE_CLONE, _TRACE_EXEC, _TRACE_SECCOMP = 1, 2, 4, 8, 16, 128
_EXIT_KILL = 1 << 20
_OPTIONS = _TRACE_CALLS | _TRACE_FORK | _TRACE_VFORK | _TRACE_CLONE | _TRACE_EXEC | _TRACE_SECCOMP | _EXIT_KILL
_TEXT_MAX = 4_096

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


class GoneError(Exception):
    """The process was killed meanwhile; its end is reported by waitpid."""


class Registers(ctypes.Structure):
    """Those of a process that stands still. `orig_rax` is the number of its system call, `rax` the call's result."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
            *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
        )
    )
    r10: int
    r8: int
    rax: int
    rdx: int
    rsi: int
    rdi: int
    orig_rax: int
    rsp: int

    @property
    def result(self) -> int:
        """What the call returned; negative: an error number."""
        return self.rax - (1 << 64) if self.rax >> 63 else self.rax


class _Range(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _call(request: int, pid: int, address: Any = None, data: Any = None) -> None:
    if _ptrace(request, pid, address, data) == -1:
        number = ctypes.get_errno()
        if number == ESRCH:
            raise GoneError
        raise OSError(number, os.strerror(number))


def seize(pid: int) -> None:
    """Follow a process and all that it starts; they are killed when this process ends. OSError where it may not."""
    _call(_SEIZE, pid, None, _OPTIONS)


def go_on(pid: int, *, number: int = 0, until_return: bool = False, listen: bool = False) -> None:
    """Let a process go on, with a signal where `number` is one, or to the end of the system call that it makes."""
    _call(_LISTEN if listen else _CALL if until_return else _CONT, pid, None, number)


def event_message(pid: int) -> int:
    """What an event says: the pid of a new process."""
    message = ctypes.c_ulong()
    _call(_GETEVENTMSG, pid, None, ctypes.addressof(message))
    return message.value


def read_registers(pid: int) -> Registers:
    registers = Registers()
    _call(_GETREGS, pid, None, ctypes.addressof(registers))
    return registers


def write_registers(pid: int, registers: Registers) -> None:
    _call(_SETREGS, pid, None, ctypes.addressof(registers))


def read_memory(pid: int, address: int, length: int) -> bytes | None:
    """That many bytes of a process, or None where it has no memory there."""
    data = ctypes.create_string_buffer(length)
    moved = _moved(_libc.process_vm_readv, pid, address, data, length)
    return data.raw if moved == length else None


def write_memory(pid: int, address: int, data: bytes) -> bool:
    """Whether the bytes could be written."""
    return _moved(
        _libc.process_vm_writev, pid, address, ctypes.create_string_buffer(data, len(data)), len(data)
    ) == len(data)


def read_text(pid: int, address: int) -> bytes:
    """A text that ends with NUL, such as a path; empty where there is none."""
    found = b""
    while len(found) < _TEXT_MAX:
        # Up to the end of a page: the next one may not be there.
        part = read_memory(pid, address + len(found), min(256, 4_096 - (address + len(found)) % 4_096))
        if part is None:
            return b""
        text, end, _ = part.partition(b"\0")
        found += text
        if end:
            return found
    return b""


def _moved(function: Any, pid: int, address: int, data: Any, length: int) -> int:
    here, there = _Range(ctypes.addressof(data), length), _Range(address, length)
    done: int = function(
        pid, ctypes.byref(here), ctypes.c_ulong(1), ctypes.byref(there), ctypes.c_ulong(1), ctypes.c_ulong(0)
    )
    if done >= 0:
        return done
    number = ctypes.get_errno()
    if number == ESRCH:
        raise GoneError
    if number in (EFAULT, EIO):
        return -1
    raise OSError(number, os.strerror(number))
