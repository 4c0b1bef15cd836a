"""The engine's side of a guardian: orders out, output and a report back."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from tenuto.adapters.sandboxes import guardian
from tenuto.adapters.sandboxes.launching import FILES_MAX, launch_arguments, normal_exit_code
from tenuto.adapters.sandboxes.supervision import supervise
from tenuto.adapters.sandboxes.syscalls import bystander_program
from tenuto.errors import SandboxUnavailableError
from tenuto.ports.tools import SandboxCommand, SandboxResult

__all__ = ["run_guarded"]


async def run_guarded(
    command: SandboxCommand,
    kind: Literal["none", "sandlock"],
    *,
    readable: tuple[str, ...] = (),
    writable: tuple[str, ...] = (),
) -> SandboxResult:
    """Run a command below a guardian process. Nothing of it is left on return, nor when this process is killed.

    `readable` and `writable` are all paths that the command may use (kind `sandlock`). SandboxUnavailableError.
    """
    if command.repetition is not None:
        raise SandboxUnavailableError(
            f"commands cannot be made repeatable with the sandbox {kind}",
            fix="install bubblewrap (apt-get install bubblewrap) and allow user namespaces, or remove repeatable",
        )
    orders = {
        "argv": launch_arguments(command, wait=False, count_tasks=False),
        "directory": command.directory,
        "environment": dict(command.environment),
        "files_max": FILES_MAX,
        "filter": bystander_program().hex() if kind == "sandlock" else "",
        "kind": kind,
        "memory_bytes_max": command.memory_bytes_max,
        "network": command.network,
        "processes_max": command.processes_max,
        "readable": readable,
        "scratch": tempfile.gettempdir(),
        "writable": writable,
    }
    guarded = Guarded(kind, orders, command.standard_input)
    try:
        ended = await supervise(
            guarded.process,
            guarded.attend(),
            stop=guarded.stop,
            timeout_us=command.timeout_us,
            output_bytes_max=command.output_bytes_max,
        )
        report = guarded.report()
    finally:
        guarded.close()
    if not ended.timed_out and "exit" not in report:
        raise SandboxUnavailableError(
            f"the sandbox {kind} could not run a command: {report.get('error', 'its guardian process was killed')}",
            fix="install bubblewrap, or use --no-sandbox",
        )
    why = report.get("why", "")
    return SandboxResult(
        dropped_bytes=ended.dropped_bytes,
        duration_us=ended.duration_us,
        ended="timeout" if ended.timed_out else "exit",
        exit_code=normal_exit_code(report.get("exit", -9)),
        stderr=ended.stderr + (f"tenuto: killed: {why}\n".encode() if why else b""),
        stdout=ended.stdout,
    )


class Guarded:
    """One started guardian."""

    def __init__(self, kind: str, orders: Mapping[str, Any], standard_input: bytes) -> None:
        self._orders = orders
        self._standard_input = standard_input
        self._control, control = socket.socketpair()
        self._input, given = socket.socketpair()
        self._control.setblocking(False)
        self._input.setblocking(False)
        # -S where no installed package is needed: it halves the start.
        flags = ["-I"] if kind == "sandlock" else ["-I", "-S"]
        try:
            self.process = subprocess.Popen(
                [sys.executable, *flags, guardian.__file__, str(control.fileno())],
                stdin=given.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={},
                pass_fds=(control.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            self.close()
            raise SandboxUnavailableError(f"{sys.executable} cannot be started: {error.strerror}") from None
        finally:
            control.close()
            given.close()

    def stop(self) -> None:
        """Tell the guardian to kill everything, in the way it would notice that this process is gone."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._control.close()
        self._input.close()

    def report(self) -> Mapping[str, Any]:
        """What the guardian said before it ended: `exit` and `why`, or `error`; empty where it was killed.

        Read when it is gone, so that all of it is there: a task that reads would be cancelled with the rest.
        """
        data = b""
        with suppress(OSError):
            while part := self._control.recv(1 << 16):
                data += part
        said: Mapping[str, Any] = json.loads(data) if data.endswith(b"\n") else {}
        return said

    async def attend(self) -> None:
        """Give the orders and feed the standard input."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await loop.sock_sendall(self._control, json.dumps(self._orders).encode() + b"\n")
        with suppress(OSError):  # a command that ends or closes its input without reading it
            await loop.sock_sendall(self._input, self._standard_input)
            self._input.shutdown(socket.SHUT_WR)
