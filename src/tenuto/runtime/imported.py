"""Imported runs are records: they are looked at, proved and checked out, and never continued.

The run may go on where it came from, and two engines must never write one run. The mark is an entry beside the run's
artifacts that names the head it was imported with. It holds as long as the journal ends there, so one that a crash
left without its run says nothing about a later run of the same id.
"""

from __future__ import annotations

from tenuto.core.artifacts import Artifact
from tenuto.core.ids import Digest, RunId
from tenuto.errors import MissingArtifactError, RefusedRequestError
from tenuto.ports.artifacts import ArtifactStore
from tenuto.ports.journal import Journal

__all__ = ["is_imported", "mark_imported", "refuse_imported"]

ENTRY = "tenuto.imported"


async def mark_imported(artifacts: ArtifactStore, run: RunId, head: Digest) -> None:
    """Say of a run that it is imported. Durable on return; idempotent."""
    found = await _newest(artifacts, run)
    if found is not None and found[1] == head:
        return
    entry = Artifact(digest=Digest(""), media_type="text/plain", name=ENTRY, run=run, size=0, version=0)
    await artifacts.put(entry, head.encode(), expected_version=0 if found is None else found[0])


async def is_imported(journal: Journal, artifacts: ArtifactStore, run: RunId) -> bool:
    """Whether the run came from a bundle. UsageError for an unknown run."""
    found = await _newest(artifacts, run)
    return found is not None and found[1] == (await journal.head(run)).hash


async def refuse_imported(journal: Journal, artifacts: ArtifactStore, run: RunId) -> None:
    """RefusedRequestError where the run came from a bundle: nothing may be added to it."""
    if await is_imported(journal, artifacts, run):
        raise RefusedRequestError(
            "the run was imported, so it is only read here",
            where=f"run {run}",
            fix="continue it where it was exported, or start a new run",
        )


async def _newest(artifacts: ArtifactStore, run: RunId) -> tuple[int, str] | None:
    try:
        entry, body = await artifacts.get(run, ENTRY)
    except MissingArtifactError:
        return None
    return entry.version, body.decode("ascii", "replace")
