"""Commands in a bubblewrap sandbox: namespaces of their own for processes, network, users, mounts and IPC.

Paths outside the tree and the grants do not exist inside. Nothing survives: the process namespace ends with its
first process, and that one dies with the engine (`--die-with-parent`). bwrap gets an empty environment and its
options through a memory file, so that no value shows in a process list.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from contextlib import suppress

from tenuto.adapters.sandboxes.guardian import POLL_S, descendants, over_limits
from tenuto.adapters.sandboxes.launching import launch_arguments, normal_exit_code
from tenuto.adapters.sandboxes.places import interpreter_prefixes, network_files, system_links
from tenuto.adapters.sandboxes.repeated import NOT_FOLLOWED, NOT_FOLLOWED_NOTE, TREE, repeating
from tenuto.adapters.sandboxes.supervision import ended, supervise
from tenuto.adapters.sandboxes.syscalls import seccomp_program
from tenuto.errors import SandboxUnavailableError, UsageError
from tenuto.ports.tools import Sandbox, SandboxCommand, SandboxResult

__all__ = ["BubblewrapSandbox"]

SCRATCH_BYTES = 256 << 20
"""Size of the private /tmp and of /dev/shm, each."""
_ROOT_NICE = 10
_ETC = ("ld.so.cache", "alternatives", "passwd", "group", "localtime")


class BubblewrapSandbox(Sandbox):
    """Runs commands by `program`, an absolute path of bwrap 0.8 or newer.

    Limits: output, time and file size as asked; memory for each process by the kernel, and for all together by a
    look every 50 ms; processes by the kernel, and by the same look where the engine runs as root, whom
    RLIMIT_NPROC does not bind. A sandbox over a limit is killed, and the last line of `stderr` says why.
    """

    def __init__(self, program: str) -> None:
        self._program = program

    @property
    def name(self) -> str:
        return "bubblewrap"

    async def run(self, command: SandboxCommand) -> SandboxResult:
        if command.repetition is not None:
            command = repeating(command, command.repetition)
        guest = Guest(self._program, command)
        try:
            result = await supervise(
                guest.process,
                guest.attend(),
                stop=guest.stop,
                timeout_us=command.timeout_us,
                output_bytes_max=command.output_bytes_max,
                # bwrap is gone before its namespace is; nothing may be left when this returns.
                gone=guest.gone,
            )
        finally:
            guest.close()
        if not guest.started and not result.timed_out:
            lines = result.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            raise SandboxUnavailableError(
                f"bubblewrap cannot set up a sandbox: {lines[0]}", fix="allow user namespaces, or use --no-sandbox"
            )
        if (
            command.repetition is not None
            and result.returncode == NOT_FOLLOWED
            and result.stderr.endswith(NOT_FOLLOWED_NOTE)
        ):
            raise SandboxUnavailableError(
                "this machine does not let commands be followed (ptrace)",
                fix="allow ptrace of own child processes, or remove repeatable",
            )
        note = f"tenuto: killed: {guest.why}\n".encode() if guest.why else b""
        return SandboxResult(
            dropped_bytes=result.dropped_bytes,
            duration_us=result.duration_us,
            ended="timeout" if result.timed_out else "exit",
            exit_code=normal_exit_code(result.returncode),
            stderr=result.stderr + note,
            stdout=result.stdout,
        )


class Guest:
    """One started bwrap: the socket that is its command's standard input, and what is known of its processes."""

    def __init__(self, program: str, command: SandboxCommand) -> None:
        self.started = False
        self._first = -1
        self._first_descriptor: int | None = None
        self.why = ""
        self._command = command
        self._control, inside = socket.socketpair()
        self._control.setblocking(False)
        self._info, info = os.pipe()
        passed = [info]
        try:
            options = [*_options(command), "--info-fd", str(info)]
            if program_of_calls := seccomp_program():
                passed.append(_memory_file(program_of_calls))
                options += ["--seccomp", str(passed[-1])]
            passed.append(_memory_file(b"\0".join(os.fsencode(one) for one in options) + b"\0"))
            self.process = subprocess.Popen(
                [
                    *(program, "--args", str(passed[-1]), "--"),
                    *launch_arguments(command, wait=True, count_tasks=True),
                ],
                stdin=inside.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={},
                pass_fds=passed,
                start_new_session=True,
            )
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            raise SandboxUnavailableError(f"{program} cannot be started: {error.strerror}") from None
        finally:
            inside.close()
            for descriptor in passed:
                os.close(descriptor)

    def stop(self) -> None:
        """Kill all of it. The kernel kills the namespace when its first process, which dies with bwrap, is gone.

        Before the command is ready it is told to end instead: a first process whose bwrap is killed while it makes
        the namespace waits for it for ever.
        """
        if not self.started:
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
            return
        self.process.kill()
        if self._first_descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first_descriptor, signal.SIGKILL)

    async def gone(self) -> None:
        """Return when the namespace has no process any more: its first one ends last."""
        if self._first_descriptor is not None:
            await ended(self._first_descriptor)

    def close(self) -> None:
        self._control.close()
        os.close(self._info)
        if self._first_descriptor is not None:
            os.close(self._first_descriptor)

    async def attend(self) -> None:
        """Let the command start, feed its standard input, and watch its processes until cancelled."""
        loop = asyncio.get_running_loop()
        if await loop.sock_recv(self._control, 1) != b"r":
            return
        self._first = int(json.loads(os.read(self._info, 4_096))["child-pid"])
        self._first_descriptor = os.pidfd_open(self._first)
        self.started = True
        if os.geteuid() == 0:
            # No limit of the kernel's binds root's forks: who watches them must get the processor before they do.
            for pid in descendants(self._first):
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, pid, _ROOT_NICE)
        await asyncio.gather(self._feed(), self._watch())

    async def _feed(self) -> None:
        with suppress(OSError):  # a command that ends or closes its input without reading it
            await asyncio.get_running_loop().sock_sendall(self._control, b"go\n" + self._command.standard_input)
            self._control.shutdown(socket.SHUT_WR)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            self.why = over_limits(self._first, self._command.processes_max, self._command.memory_bytes_max)
            if self.why:
                self.stop()
                return


def _memory_file(data: bytes) -> int:
    """A descriptor from which `data` is read."""
    descriptor = os.memfd_create("tenuto")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _options(command: SandboxCommand) -> list[str]:
    """bwrap's options. Their order is the order of its mounts: what is below /tmp comes after /tmp."""
    options = ["--unshare-user", "--unshare-all", "--disable-userns", "--die-with-parent", "--new-session"]
    options += ["--cap-drop", "ALL", "--hostname", "sandbox", "--proc", "/proc", "--dev", "/dev"]
    for scratch in ("/dev/shm", "/tmp"):
        options += ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", scratch]
    options += ["--ro-bind", "/usr", "/usr"]
    for path, target in system_links():
        options += ["--symlink", target, path] if target else ["--ro-bind", path, path]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    if command.network:
        options.append("--share-net")
        for source, inside in network_files():
            options += ["--ro-bind-try", source, inside]
    for path in (*interpreter_prefixes(), *command.readable):
        options += ["--ro-bind", path, path]
    for path in command.writable:
        options += ["--bind", path, path]
    inside = command.directory if command.repetition is None else TREE
    options += ["--bind", command.directory, inside]
    # /proc too: bwrap leaves /proc/sys writable for a process whose user is root outside, without any capability.
    for path in ("/proc", "/dev", "/"):
        options += ["--remount-ro", path]
    options += ["--chdir", inside, "--clearenv"]
    for name, value in command.environment.items():
        options += ["--setenv", name, value]
    if any("\0" in one for one in options):
        # The options are separated by NUL: one more would begin an option of somebody else's choice.
        raise UsageError("a path or a variable of a command holds a NUL", fix="remove it")
    return options
