"""What every artifact store checks in the same way, and the errors it answers with."""

from __future__ import annotations

import msgspec

from tenuto.core.artifacts import Artifact
from tenuto.core.ids import Digest, RunId
from tenuto.errors import ArtifactConflictError, MissingArtifactError

__all__ = ["conflict", "deleted_entries", "filled", "missing_entry"]


def filled(entry: Artifact, name: Digest, size: int, version: int) -> Artifact:
    """The entry as it is kept: digest, size and version are the store's to say."""
    return msgspec.structs.replace(entry, digest=name, size=size, version=version)


def conflict(entry: Artifact, expected_version: int, newest: Artifact | None) -> ArtifactConflictError:
    found = "there is none yet" if newest is None else f"version {newest.version} by {_writer(newest)} is the newest"
    return ArtifactConflictError(
        f"{_writer(entry)} wanted to write version {expected_version + 1} of {entry.run}:{entry.name}, but {found}",
        fix="read the newest version and write again",
    )


def missing_entry(run: RunId, name: str, version: int | None) -> MissingArtifactError:
    which = name if version is None else f"{name}@{version}"
    return MissingArtifactError(f"there is no artifact {run}:{which}", fix=f"`tenuto artifacts {run}` lists them")


def deleted_entries(run: RunId) -> MissingArtifactError:
    return MissingArtifactError(f"the artifacts of run {run} were deleted", fix="use another run")


def _writer(entry: Artifact) -> str:
    step = f"step {entry.producing_step}" if entry.producing_step else "an unnamed step"
    return f"{step} ({entry.producing_agent})" if entry.producing_agent else step
