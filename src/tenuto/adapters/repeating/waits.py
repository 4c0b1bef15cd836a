"""System calls that wait for a time. The wait itself is real; afterwards the clocks have moved on by what was asked.

A wait that something else ended takes no time at all: how long it took is not the same in two runs.
"""

from __future__ import annotations

import struct
import time
from errno import EAGAIN, ETIMEDOUT

from tenuto.adapters.repeating.clocks import now_ns
from tenuto.adapters.repeating.ptrace import Registers, write_registers
from tenuto.adapters.repeating.thread import After, Thread, signed

__all__ = [
    "clock_nanosleep",
    "epoll_wait",
    "futex",
    "nanosleep",
    "poll",
    "ppoll",
    "select",
    "select_until",
    "set_timer",
    "signal_wait",
    "wait_by_structure",
]

_SECOND = 10**9
_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_FUTEX_REALTIME = 256
_FUTEX_RELATIVE = frozenset((0,))
_FUTEX_ABSOLUTE = frozenset((9, 11, 13))
_FUTEX_REAL = frozenset((6,))
"""With a time: FUTEX_WAIT; WAIT_BITSET, WAIT_REQUEUE_PI and LOCK_PI2; LOCK_PI, which is always of the real time."""


def _asked_ns(thread: Thread, address: int, unit_ns: int = 1) -> int | None:
    """Seconds and a rest of `unit_ns`, in nanoseconds."""
    data = thread.read(address, 16)
    if data is None:
        return None
    seconds, rest = struct.unpack("=qq", data)
    return int(seconds) * _SECOND + int(rest) * unit_ns


def _in_vain(thread: Thread, asked_ns: int | None, result: int = 0) -> After | None:
    """The clocks move on where the call ends with that result."""
    if asked_ns is None or asked_ns <= 0:
        return None

    def move_on(after: Registers) -> None:
        if after.result == result:
            thread.process.waited(asked_ns)

    return move_on


def nanosleep(thread: Thread, registers: Registers) -> After | None:
    return _in_vain(thread, _asked_ns(thread, registers.rdi))


def poll(thread: Thread, registers: Registers) -> After | None:
    return _in_vain(thread, signed(registers.rdx) * 10**6)


def epoll_wait(thread: Thread, registers: Registers) -> After | None:
    return _in_vain(thread, signed(registers.r10) * 10**6)


def select(thread: Thread, registers: Registers) -> After | None:
    return _in_vain(thread, _asked_ns(thread, registers.r8, 1_000))


def select_until(thread: Thread, registers: Registers) -> After | None:
    """`pselect6`."""
    return _in_vain(thread, _asked_ns(thread, registers.r8))


def ppoll(thread: Thread, registers: Registers) -> After | None:
    return _in_vain(thread, _asked_ns(thread, registers.rdx))


def wait_by_structure(thread: Thread, registers: Registers) -> After | None:
    """`epoll_pwait2`."""
    return _in_vain(thread, _asked_ns(thread, registers.r10))


def signal_wait(thread: Thread, registers: Registers) -> After | None:
    return _in_vain(thread, _asked_ns(thread, registers.rdx), -EAGAIN)


def clock_nanosleep(thread: Thread, registers: Registers) -> After | None:
    asked = _asked_ns(thread, registers.rdx)
    now = now_ns(thread.process, signed(registers.rdi))
    if asked is None or now is None or not signed(registers.rsi) & _ABSOLUTE:
        return _in_vain(thread, asked)
    left = asked - now
    if left <= 0:
        thread.answer(registers, 0)
        return None
    rdi, rsi, rdx = registers.rdi, registers.rsi, registers.rdx
    registers.rdi, registers.rsi = _CLOCK_MONOTONIC, 0
    registers.rdx = thread.lend(registers, struct.pack("=qq", *divmod(left, _SECOND)))
    write_registers(thread.pid, registers)

    def restore(after: Registers) -> None:
        if after.result == 0:
            thread.process.waited(left)
        after.rdi, after.rsi, after.rdx = rdi, rsi, rdx
        write_registers(thread.pid, after)

    return restore


def futex(thread: Thread, registers: Registers) -> After | None:
    operation = signed(registers.rsi) & 127
    if operation in _FUTEX_RELATIVE:
        return _in_vain(thread, _asked_ns(thread, registers.r10), -ETIMEDOUT)
    if operation not in _FUTEX_ABSOLUTE | _FUTEX_REAL:
        return None
    real = operation in _FUTEX_REAL or bool(registers.rsi & _FUTEX_REALTIME)
    asked = _asked_ns(thread, registers.r10)
    now = now_ns(thread.process, 0 if real else _CLOCK_MONOTONIC)
    if asked is None or now is None:
        return None
    left = max(0, asked - now)
    until = left + time.clock_gettime_ns(time.CLOCK_REALTIME if real else time.CLOCK_MONOTONIC)
    given = registers.r10
    registers.r10 = thread.lend(registers, struct.pack("=qq", *divmod(until, _SECOND)))
    write_registers(thread.pid, registers)

    def restore(after: Registers) -> None:
        if after.result == -ETIMEDOUT:
            thread.process.waited(left)
        after.r10 = given
        write_registers(thread.pid, after)

    return restore


def set_timer(thread: Thread, registers: Registers) -> After | None:
    """`timer_settime` and `timerfd_settime`: a time of the clocks shown becomes one from now on."""
    data = thread.read(registers.rdx, 32)
    asked = _asked_ns(thread, registers.rdx + 16)
    if data is None or not asked or not signed(registers.rsi) & _ABSOLUTE:
        return None
    # Which clock the timer has was said when it was made. Times since 1970 are told from others by their size.
    now = now_ns(thread.process, 0 if asked > thread.process.start_ns // 2 else _CLOCK_MONOTONIC) or 0
    rsi, rdx = registers.rsi, registers.rdx
    registers.rsi &= ~_ABSOLUTE
    left = max(1, asked - now)
    registers.rdx = thread.lend(registers, data[:16] + struct.pack("=qq", *divmod(left, _SECOND)))
    write_registers(thread.pid, registers)

    def restore(after: Registers) -> None:
        after.rsi, after.rdx = rsi, rdx
        write_registers(thread.pid, after)

    return restore
