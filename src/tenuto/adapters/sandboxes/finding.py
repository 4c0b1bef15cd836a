"""Choosing a sandbox that works on this machine."""

from __future__ import annotations

import tempfile
from typing import Literal

from tenuto.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from tenuto.adapters.sandboxes.orphans import end_orphans
from tenuto.adapters.sandboxes.places import found_program
from tenuto.adapters.sandboxes.sandlocked import SandlockSandbox
from tenuto.adapters.sandboxes.unconfined import NoSandbox
from tenuto.core.canonical import digest
from tenuto.core.repetition import CLOCK, Repetition, clock_seconds
from tenuto.errors import SandboxUnavailableError
from tenuto.ports.tools import Sandbox, SandboxCommand

__all__ = ["Preference", "find_sandbox", "require_repetition"]

Preference = Literal["bubblewrap", "sandlock", "none"]

_FIX = "apt-get install bubblewrap, or pip install 'tenuto[sandbox]', or use --no-sandbox"


async def find_sandbox(preference: Preference | None = None) -> Sandbox:
    """The preferred sandbox, or the first that works: bubblewrap, then sandlock; each is tried by one command.

    `none` is only given when asked for. SandboxUnavailableError says why there is none, and what to install.
    """
    if preference == "none":
        return NoSandbox()
    wanted = (preference,) if preference is not None else ("bubblewrap", "sandlock")
    reasons = []
    for name in wanted:
        try:
            return await _working(name)
        except SandboxUnavailableError as error:
            reasons.append(error.what)
    raise SandboxUnavailableError(f"no sandbox works on this machine ({'; '.join(reasons)})", fix=_FIX)


async def require_repetition(sandbox: Sandbox) -> None:
    """Try a repeatable command. SandboxUnavailableError says why there can be none, and what to do."""
    await _try(sandbox, Repetition(clock_s=clock_seconds(CLOCK), seed=digest(b"")))


async def _working(name: str) -> Sandbox:
    sandbox = _made(name)
    await _try(sandbox)
    return sandbox


async def _try(sandbox: Sandbox, repetition: Repetition | None = None) -> None:
    with tempfile.TemporaryDirectory(prefix="tenuto-") as directory:
        result = await sandbox.run(
            SandboxCommand(
                argv=("/bin/true",),
                directory=directory,
                environment={},
                repetition=repetition,
                timeout_us=20_000_000,
            )
        )
    if result.ended != "exit" or result.exit_code != 0:
        said = result.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {result.exit_code}"]
        raise SandboxUnavailableError(f"{sandbox.name} does not run /bin/true: {said[-1]}")


def _made(name: str) -> Sandbox:
    if name == "sandlock":
        return SandlockSandbox()
    program = found_program("bwrap")
    if program is None:
        raise SandboxUnavailableError("bwrap is not installed")
    end_orphans()
    return BubblewrapSandbox(program)
