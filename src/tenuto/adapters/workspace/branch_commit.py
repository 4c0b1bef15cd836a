"""What the commit of a result on a branch says, and who is named in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenuto.adapters.workspace.git import Git

__all__ = ["BranchCommit", "people_of"]

_IDENTITY = ("tenuto", "tenuto@localhost")


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchCommit:
    """What the commit on the new branch says. `at_s`: seconds since 1970, UTC, for author and committer.

    `identity`: name and address; None = git's own of this repository, or tenuto's where it has none. With equal
    fields, trees and parent the commit has an equal id.
    """

    at_s: int
    branch: str
    identity: tuple[str, str] | None = None
    message: str


async def people_of(commit: BranchCommit, git: Git) -> Mapping[str, str]:
    """The variables that tell git who commits, and when."""
    identity = commit.identity or await _identity(git)
    parts = (("NAME", identity[0]), ("EMAIL", identity[1]), ("DATE", f"{commit.at_s} +0000"))
    return {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in parts}


async def _identity(git: Git) -> tuple[str, str]:
    name = await git.ask("config", "user.name")
    address = await git.ask("config", "user.email")
    if not name or not address:
        return _IDENTITY
    return name.decode("utf-8", "replace").strip(), address.decode("utf-8", "replace").strip()
