"""Commands under the `sandlock` package (Landlock and seccomp), for machines without user namespaces.

Weaker than bubblewrap: paths outside are refused rather than invisible, and processes of the host can be seen in
/proc. Modes and owners cannot be changed by descriptor (`fchmod`), so `tar x` and `install` fail. Killing what
survives is the guardian's work, since sandlock itself leaves children behind.
"""

from __future__ import annotations

from importlib.util import find_spec

from tenuto.adapters.sandboxes.guarding import run_guarded
from tenuto.adapters.sandboxes.places import existing, interpreter_prefixes, network_files, system_links
from tenuto.errors import SandboxUnavailableError
from tenuto.ports.tools import Sandbox, SandboxCommand, SandboxResult

__all__ = ["SandlockSandbox"]

_READABLE = (
    "/usr",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/passwd",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/localtime",
    "/etc/ssl/openssl.cnf",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
    "/proc",
)


class SandlockSandbox(Sandbox):
    """Needs `pip install 'tenuto[sandbox]'` and a kernel with Landlock. HOME and TMPDIR are a private directory."""

    @property
    def name(self) -> str:
        return "sandlock"

    async def run(self, command: SandboxCommand) -> SandboxResult:
        if find_spec("sandlock") is None:
            raise SandboxUnavailableError("sandlock is not installed", fix="pip install 'tenuto[sandbox]'")
        readable = [*_READABLE, *(path for path, _ in system_links()), *interpreter_prefixes(), *command.readable]
        if command.network:
            readable += [inside for _, inside in network_files()]
        return await run_guarded(
            command,
            "sandlock",
            readable=existing(readable),
            writable=(command.directory, *command.writable, "/dev/null"),
        )
