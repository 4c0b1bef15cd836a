"""No sandbox: for `--no-sandbox` only, which is written into the run's record."""

from __future__ import annotations

from tenuto.adapters.sandboxes.guarding import run_guarded
from tenuto.ports.tools import Sandbox, SandboxCommand, SandboxResult

__all__ = ["NoSandbox"]


class NoSandbox(Sandbox):
    """Runs commands with the rights of the engine's user: files and network are open to them.

    The rest holds: only the environment given, limits of time, output, memory, processes and file size, and no
    survivors (a guardian process reaps them), as long as the command does not kill its guardian.
    """

    @property
    def name(self) -> str:
        return "none"

    async def run(self, command: SandboxCommand) -> SandboxResult:
        return await run_guarded(command, "none")
