"""System calls that read a clock, or how much time was used."""

from __future__ import annotations

import struct

from tenuto.adapters.repeating.process import MONOTONIC_NS, Process
from tenuto.adapters.repeating.ptrace import Registers
from tenuto.adapters.repeating.thread import After, Thread, signed

__all__ = [
    "REALTIME",
    "clock_gettime",
    "get_time_of_day",
    "getrusage",
    "now_ns",
    "sysinfo",
    "tell_time",
    "times",
]

REALTIME = frozenset((0, 5, 8, 11))
_MONOTONIC = frozenset((1, 4, 6, 7, 9))
_USED = frozenset((2, 3))
_SECOND = 10**9
_TICK_NS = 10**7
_USAGE_BYTES = 144
_UPTIME_AND_LOADS = 32


def now_ns(process: Process, clock: int) -> int | None:
    """What a clock shows, without this counting as a reading; None for clocks that are not known."""
    if clock in REALTIME:
        return process.start_ns + process.elapsed_ns
    if clock in _MONOTONIC:
        return MONOTONIC_NS + process.elapsed_ns
    return process.elapsed_ns if clock in _USED or clock < 0 else None


def clock_gettime(thread: Thread, registers: Registers) -> After | None:
    thread.process.read_clock()
    now = now_ns(thread.process, signed(registers.rdi))
    if now is not None and thread.write(registers.rsi, struct.pack("=qq", *divmod(now, _SECOND))):
        thread.answer(registers, 0)
    return None


def get_time_of_day(thread: Thread, registers: Registers) -> After | None:
    thread.process.read_clock()
    seconds, rest = divmod(thread.process.start_ns + thread.process.elapsed_ns, _SECOND)
    if registers.rdi and not thread.write(registers.rdi, struct.pack("=qq", seconds, rest // 1_000)):
        return None
    if registers.rsi and not thread.write(registers.rsi, bytes(8)):
        return None
    thread.answer(registers, 0)
    return None


def tell_time(thread: Thread, registers: Registers) -> After | None:
    """`time`."""
    thread.process.read_clock()
    seconds = (thread.process.start_ns + thread.process.elapsed_ns) // _SECOND
    if registers.rdi and not thread.write(registers.rdi, struct.pack("=q", seconds)):
        return None
    thread.answer(registers, seconds)
    return None


def times(thread: Thread, registers: Registers) -> After | None:
    """No processor time was used, by nobody."""
    thread.process.read_clock()
    if registers.rdi and not thread.write(registers.rdi, bytes(32)):
        return None
    thread.answer(registers, (MONOTONIC_NS + thread.process.elapsed_ns) // _TICK_NS)
    return None


def getrusage(thread: Thread, _registers: Registers) -> After | None:
    def nothing_used(after: Registers) -> None:
        if after.result == 0:
            thread.write(after.rsi, bytes(_USAGE_BYTES))

    return nothing_used


def sysinfo(thread: Thread, _registers: Registers) -> After | None:
    """Uptime and load; how much memory the machine has stays what it is."""

    def without_load(after: Registers) -> None:
        if after.result == 0:
            up = (MONOTONIC_NS + thread.process.elapsed_ns) // _SECOND
            thread.write(after.rdi, struct.pack("=q", up).ljust(_UPTIME_AND_LOADS, b"\0"))

    return without_load
