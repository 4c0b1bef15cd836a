"""Running git's plumbing in a user's repository without touching what is not asked for.

Hooks, the file system monitor and optional locks are off; modes, links and names count as they are; nothing of the
caller's `GIT_*` variables gets in.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tenuto.errors import StorageError, UsageError

__all__ = ["Git", "read_head"]

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "core.fileMode=true",
    "core.symlinks=true",
    "core.ignoreCase=false",
    "core.safecrlf=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
)
_QUIET = tuple(part for setting in _SETTINGS for part in ("-c", setting))
_TIMEOUT_S = 600


class Git:
    """git in one directory. `environment` is what its processes get, without `GIT_*`."""

    def __init__(self, directory: Path, environment: Mapping[str, str], *, executable: str = "git") -> None:
        self._directory = directory
        self._executable = executable
        self._environment = {name: value for name, value in environment.items() if not name.startswith("GIT_")}
        self._environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    async def ask(
        self, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None
    ) -> bytes | None:
        """What a command prints, or None where it fails. UsageError where there is no git."""
        done = await self._run(arguments, given, variables or {})
        return done.stdout if done.returncode == 0 else None

    async def run(self, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None) -> bytes:
        """What a command prints. StorageError, with git's own words, where it fails."""
        done = await self._run(arguments, given, variables or {})
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", "replace").strip().replace("\n", "; ")
            raise StorageError(f"git {arguments[0]} failed ({words})", where=str(self._directory))
        return done.stdout

    async def line(self, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None) -> str:
        return (
            (await self.run(*arguments, given=given, variables=variables))
            .decode("utf-8", "surrogateescape")
            .rstrip("\n")
        )

    async def _run(
        self, arguments: tuple[str, ...], given: bytes, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return await asyncio.to_thread(
                subprocess.run,
                [self._executable, *_QUIET, *arguments],
                cwd=self._directory,
                env={**self._environment, **variables},
                input=given,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except FileNotFoundError as error:
            raise UsageError("git cannot be run here", where=str(self._directory), fix="install git") from error
        except subprocess.TimeoutExpired as error:
            raise StorageError(f"git {arguments[0]} did not end", where=str(self._directory)) from error


async def read_head(directory: Path, environment: Mapping[str, str]) -> str | None:
    """The commit that a directory's HEAD names; None where there is no repository, commit or git."""
    try:
        found = await Git(directory, environment).ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except UsageError:
        return None
    return None if found is None else found.decode().strip()
