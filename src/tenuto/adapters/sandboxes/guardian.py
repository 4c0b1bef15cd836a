"""Keeping count of a sandbox's processes, and the small helper process that kills them when the engine is gone.

Imported, it gives the engine `descendants` and `memory_of`. Started as a script (`python -I guardian.py FD`), it is
the guardian: a child subreaper between engine and command, for sandboxes that have no process namespace to end.
It reads its orders from the socket FD, starts the command, reports `{"exit": code, "why": text}`, and kills every
descendant when the command has ended, when a limit is passed, or when the socket closes, which it does also when
the engine is killed. It imports the standard library only, since its start is part of every command.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

__all__ = ["POLL_S", "descendants", "memory_of", "over_limits"]

POLL_S = 0.05
"""Seconds between two looks at a sandbox's processes."""

_KILLED_AT_ONCE = 256
"""Threads found in one look before the kill: small, so that the kill comes soon."""
_KILL_PAUSE_S = 0.001
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_BY_DESCRIPTOR = ("fchmod", "fchown", "fremovexattr", "fsetxattr")
"""Calls that change a file by a descriptor, which one for reading is enough for: nobody asks where the file is."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(root: int, enough: int = sys.maxsize) -> dict[int, int]:
    """Every process below `root` with its number of threads, by pid. Those that end meanwhile may be missing.

    It stops looking where it has found more than `enough` threads: who forks without end must not keep it busy.
    """
    found: dict[int, int] = {}
    waiting = [root]
    count = 0
    while waiting and count <= enough:
        pid = waiting.pop()
        children, threads = _children(pid)
        if pid != root:
            found[pid] = threads
            count += threads
        waiting.extend(child for child in children if child not in found)
    return found


def _children(pid: int) -> tuple[list[int], int]:
    children: list[int] = []
    threads = 0
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            threads += 1
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                children.extend(int(child) for child in file.read().split())
    return children, threads


def memory_of(pids: Mapping[int, int], enough: int) -> int:
    """Bytes of memory that processes hold together; pages they share count once where the sum passes `enough`."""
    resident = sum(_resident(pid) for pid in pids)
    return resident if resident <= enough else sum(_proportional(pid) for pid in pids)


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError), open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE
    return 0


def _proportional(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    return _resident(pid)


def over_limits(root: int, processes_max: int, memory_bytes_max: int) -> str:
    """Which limit the processes below `root` pass together, in words; empty where none."""
    pids = descendants(root, processes_max)
    count = sum(pids.values())
    if count > processes_max:
        return f"more than {processes_max} processes and threads"
    if memory_of(pids, memory_bytes_max) > memory_bytes_max:
        return f"more than {memory_bytes_max} bytes of memory"
    return ""


def kill_all() -> None:
    """Kill every descendant of this process and reap it.

    Whole groups are killed: the kernel does that in one go, while looking for processes one by one would never
    catch up with a program that forks without end. What left its group is an orphan, and thus a child, afterwards.
    """
    own = os.getpgrp()
    while True:
        seen: set[int] = set()
        for pid in descendants(os.getpid(), _KILLED_AT_ONCE):
            with suppress(ProcessLookupError, PermissionError):
                group = os.getpgid(pid)
                if group != own and group not in seen:
                    seen.add(group)
                    os.killpg(group, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        select.select((), (), (), _KILL_PAUSE_S)


def _start_plain(orders: Mapping[str, Any]) -> tuple[int, Any]:
    process = subprocess.Popen(
        orders["argv"],
        cwd=orders["directory"],
        env=orders["environment"],
        start_new_session=True,
    )
    # The Popen is returned with its pid: dropping it would reap a command that has ended already.
    return process.pid, process


def _refuse_calls(program: bytes) -> None:
    """Put a seccomp filter on this process and all it starts from here on. RuntimeError where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_void_p))

    whole = Program(len(program) // 8, ctypes.addressof(code))
    done = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if not done or libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0) != 0:
        raise RuntimeError(f"no seccomp filter can be set: {os.strerror(ctypes.get_errno())}")


def _start_sandlock(orders: Mapping[str, Any], scratch: str) -> tuple[int, Any]:
    import sandlock

    if orders["filter"]:
        _refuse_calls(bytes.fromhex(orders["filter"]))
    process = sandlock.Sandbox(
        # Landlock sees no change of modes, owners and times. With a root, even this one, sandlock makes these calls
        # itself, where the path may be written.
        chroot="/",
        extra_deny_syscalls=_BY_DESCRIPTOR,
        fs_readable=orders["readable"],
        fs_writable=[*orders["writable"], scratch],
        net_allow=["*:*"] if orders["network"] else [],
        max_memory=orders["memory_bytes_max"],
        max_processes=orders["processes_max"],
        max_open_files=orders["files_max"],
        no_coredump=True,
        clean_env=True,
        env={**orders["environment"], "HOME": scratch, "TMPDIR": scratch},
        cwd=orders["directory"],
    ).popen(orders["argv"])
    # The Process is returned with its pid: dropping it would end the sandbox.
    return process.pid or -1, process


def guard(control: socket.socket) -> None:
    """Serve one set of orders: start, watch, kill, report."""
    control.set_inheritable(False)
    orders = json.loads(_line(control))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    scratch = f"{orders['scratch']}/tenuto-{os.getpid()}-{os.urandom(8).hex()}"
    os.mkdir(scratch, 0o700)
    try:
        report = _serve(control, orders, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    with suppress(OSError):
        control.sendall(json.dumps(report).encode() + b"\n")


def _serve(control: socket.socket, orders: Mapping[str, Any], scratch: str) -> dict[str, Any]:
    confined = orders["kind"] == "sandlock"
    try:
        pid, holder = _start_sandlock(orders, scratch) if confined else _start_plain(orders)
    except Exception as error:  # noqa: BLE001 - whatever keeps a command from starting is reported, in one place
        return {"error": f"{type(error).__name__}: {error}"}
    # Its own ends of the pipes must not keep them open beyond the command.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    with suppress(OSError):  # only root may; and only root's commands have no limit of the kernel's
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    code, why = _watch(control, pid, orders, reap=not confined)
    kill_all()
    del holder
    return {"exit": code, "why": why}


def _watch(control: socket.socket, pid: int, orders: Mapping[str, Any], *, reap: bool) -> tuple[int, str]:
    """Until the command ended, a limit is passed, or the engine is gone: the exit code and what was wrong."""
    ended = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(ended, select.POLLIN)
    poller.register(control, select.POLLIN | select.POLLHUP)
    while True:
        ready = {fd for fd, _ in poller.poll(POLL_S * 1_000)}
        if ended in ready:
            return _code(pid, reap=reap), ""
        if control.fileno() in ready:
            return -signal.SIGKILL, ""
        why = over_limits(os.getpid(), orders["processes_max"], orders["memory_bytes_max"])
        if why:
            return -signal.SIGKILL, why


def _code(pid: int, *, reap: bool) -> int:
    """The exit code of an ended child, negative for a signal; reaped only where no library waits for it too."""
    try:
        status = os.waitid(os.P_PID, pid, os.WEXITED | (0 if reap else os.WNOWAIT))
    except ChildProcessError:
        return 0
    if status is None:
        return 0
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


def _line(control: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        part = control.recv(1 << 16)
        if not part:
            raise SystemExit(1)
        data += part
    return data


if __name__ == "__main__":
    guard(socket.socket(fileno=int(sys.argv[1])))
    # Not sys.exit: what a sandbox library would still do at exit has no one left to do it to.
    os._exit(0)
