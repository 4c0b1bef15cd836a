"""Following a command and all that it starts, from stop to stop.

Processes that nobody asked about run at full speed: they stop at the calls of `calls` only, when they begin, when
they start another one, and when a signal reaches them.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Mapping

from tenuto.adapters.repeating import chance, clocks, waits
from tenuto.adapters.repeating.calls import Call
from tenuto.adapters.repeating.files import Files
from tenuto.adapters.repeating.image import begin_image
from tenuto.adapters.repeating.process import Process
from tenuto.adapters.repeating.ptrace import (
    CALL_STOP,
    EVENT_CLONE,
    EVENT_EXEC,
    EVENT_FORK,
    EVENT_SECCOMP,
    EVENT_STOP,
    EVENT_VFORK,
    WAIT_ALL,
    GoneError,
    Registers,
    event_message,
    go_on,
    read_registers,
)
from tenuto.adapters.repeating.thread import After, Handler, Thread

__all__ = ["Follower"]

_STOPPING = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
_USAGE_BYTES = 144
_CHILD_OF_SIGNAL = 16


class Follower:
    """`first` is the pid of a process that is followed already and stands still."""

    def __init__(self, first: int, process: Process, files: Files, pipes: chance.Pipes) -> None:
        self._first = first
        self._threads: dict[int, Thread] = {first: Thread(first, process)}
        self._unknown: set[int] = set()
        """Threads that stopped before whoever started them told of them."""
        self._ended: dict[int, int] = {}
        """How far the clocks of processes had moved on that ended, until somebody hears of it."""
        self._handlers: Mapping[int, Handler] = {
            Call.clock_gettime: clocks.clock_gettime,
            Call.clock_nanosleep: waits.clock_nanosleep,
            Call.epoll_pwait2: waits.wait_by_structure,
            Call.epoll_pwait: waits.epoll_wait,
            Call.epoll_wait: waits.epoll_wait,
            Call.fstat: files.stat,
            Call.futex: waits.futex,
            Call.getdents64: files.list_directory,
            Call.getrandom: chance.getrandom,
            Call.getrusage: clocks.getrusage,
            Call.gettimeofday: clocks.get_time_of_day,
            Call.lstat: files.stat,
            Call.nanosleep: waits.nanosleep,
            Call.newfstatat: files.stat_at,
            Call.open: pipes.open,
            Call.openat: pipes.open_at,
            Call.poll: waits.poll,
            Call.ppoll: waits.ppoll,
            Call.pselect6: waits.select_until,
            Call.rt_sigtimedwait: waits.signal_wait,
            Call.select: waits.select,
            Call.stat: files.stat,
            Call.statx: files.statx,
            Call.sysinfo: clocks.sysinfo,
            Call.time: clocks.tell_time,
            Call.timer_settime: waits.set_timer,
            Call.timerfd_settime: waits.set_timer,
            Call.times: clocks.times,
            Call.wait4: self._wait_for_child,
            Call.waitid: self._wait_for_one,
        }

    def follow(self) -> int:
        """Until the first process has ended: its status, as waitpid gives it."""
        while True:
            pid, status = os.waitpid(-1, WAIT_ALL)
            try:
                if os.WIFSTOPPED(status):
                    self._stopped(pid, status)
                elif pid == self._first:
                    return status
                else:
                    self._over(pid)
            except GoneError:
                continue

    def _over(self, pid: int) -> None:
        thread = self._threads.pop(pid, None)
        if thread is not None:
            self._ended[pid] = thread.process.elapsed_ns

    def _stopped(self, pid: int, status: int) -> None:
        thread = self._threads.get(pid)
        if thread is None:
            self._unknown.add(pid)
            return
        number, event = os.WSTOPSIG(status), status >> 16
        match event:
            case 0 if number == signal.SIGTRAP | CALL_STOP:
                after, thread.after = thread.after, None
                if after is not None:
                    after(read_registers(pid))
                go_on(pid)
            case 0:
                go_on(pid, number=number)
            case _ if event == EVENT_SECCOMP:
                self._at_call(thread)
            case _ if event in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE):
                self._started(thread, event_message(pid))
                go_on(pid)
            case _ if event == EVENT_EXEC:
                self._becomes(thread, event_message(pid))
                go_on(pid)
            case _:
                go_on(pid, listen=event == EVENT_STOP and number in _STOPPING)

    def _at_call(self, thread: Thread) -> None:
        registers = read_registers(thread.pid)
        handler = self._handlers.get(registers.orig_rax)
        thread.after = None if handler is None else handler(thread, registers)
        go_on(thread.pid, until_return=thread.after is not None)

    def _started(self, thread: Thread, pid: int) -> None:
        same = _group(pid) == _group(thread.pid)
        self._threads[pid] = Thread(pid, thread.process if same else thread.process.child())
        self._ended.pop(pid, None)
        if pid in self._unknown:
            self._unknown.remove(pid)
            go_on(pid)

    def _becomes(self, thread: Thread, former: int) -> None:
        """A program was loaded. The thread that asked for it takes the place of the first one."""
        if former != thread.pid:
            self._threads.pop(former, None)
        thread.after = None
        begin_image(thread)

    # --- waiting for processes --------------------------------------------------------------------------------

    def _wait_for_child(self, thread: Thread, registers: Registers) -> After | None:
        usage = registers.r10

        def hear(after: Registers) -> None:
            if after.result > 0:
                thread.process.at_least(self._ended.pop(after.result, 0))
                if usage:
                    thread.write(usage, bytes(_USAGE_BYTES))

        return hear

    def _wait_for_one(self, thread: Thread, registers: Registers) -> After | None:
        """`waitid`."""
        told, usage = registers.rdx, registers.r8

        def hear(after: Registers) -> None:
            if after.result != 0:
                return
            data = thread.read(told + _CHILD_OF_SIGNAL - 4, 4) if told else None
            if data is not None:
                thread.process.at_least(self._ended.get(struct.unpack("=i", data)[0], 0))
            if usage:
                thread.write(usage, bytes(_USAGE_BYTES))

        return hear


def _group(pid: int) -> int:
    """The process that a thread belongs to."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Tgid:"):
                    return int(line.split()[1])
    except OSError:
        pass
    raise GoneError
