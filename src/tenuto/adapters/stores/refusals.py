"""What every journal store checks in the same way, and the errors it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.errors import (
    DamagedStoreError,
    FencedError,
    HeadMovedError,
    MissingArtifactError,
    RefusedRequestError,
    UsageError,
)
from tenuto.ports.journal import Fence, Head, StoredRecord

__all__ = [
    "already_exists",
    "check_batch",
    "check_blobs",
    "damaged_blob",
    "deleted_run",
    "fenced",
    "head_moved",
    "missing_blob",
    "owned_elsewhere",
    "session_over",
    "unknown_run",
]


HASH_BYTES = 32


def check_batch(expected: Head, records: Sequence[StoredRecord]) -> None:
    """ValueError unless the records follow `expected` without a gap: a caller's bug, refused before any write."""
    if not records:
        raise ValueError("a batch without records")
    for seq, record in enumerate(records, expected.seq + 1):
        if record.seq != seq:
            raise ValueError(f"a batch after seq {expected.seq} holds seq {record.seq} where {seq} belongs")
        if len(bytes.fromhex(record.hash)) != HASH_BYTES:
            raise ValueError(f"record {seq} has no SHA-256 for a hash: {record.hash}")


def check_blobs(blobs: Mapping[Digest, bytes]) -> None:
    """ValueError where a blob is not what its digest says."""
    for name, body in blobs.items():
        if digest(body) != name:
            raise ValueError(f"a blob was handed over under another digest: {name}")


def unknown_run(run: RunId, where: str = "") -> UsageError:
    return UsageError(f"there is no run {run}", where=where, fix="`tenuto ls` lists the runs of this store")


def deleted_run(run: RunId, where: str = "") -> UsageError:
    return UsageError(f"the run {run} was deleted", where=where, fix="`tenuto ls` lists the runs of this store")


def already_exists(run: RunId) -> RefusedRequestError:
    return RefusedRequestError(f"the run {run} exists already, or did once", fix="choose another run id")


def fenced(fence: Fence, epoch: int, owner: str | None) -> FencedError:
    holder = f"session {owner}" if owner else "nobody"
    return FencedError(
        f"the run {fence.run} is no longer ours: epoch {fence.epoch} of session {fence.session} was followed by "
        f"epoch {epoch} of {holder}",
        fix="let the other engine finish, or resume the run when it has ended",
    )


def owned_elsewhere(run: RunId, owner: str) -> FencedError:
    return FencedError(
        f"the run {run} is driven by the live session {owner}",
        fix="wait for it to end; the run can be resumed when that process is gone",
    )


def session_over(name: str) -> FencedError:
    return FencedError(f"the session {name} has ended", fix="open a new session")


def head_moved(run: RunId, expected: Head, found: Head) -> HeadMovedError:
    return HeadMovedError(
        f"an append to run {run} expected the head at seq {expected.seq} ({expected.hash[:12]}), "
        f"but it is at seq {found.seq} ({found.hash[:12]})",
        fix="read the journal again and resume the run",
    )


def damaged_blob(name: Digest, where: str = "") -> DamagedStoreError:
    return DamagedStoreError(
        f"the blob {name} does not hold the bytes that were written",
        where=where,
        fix="restore the store from a backup",
    )


def missing_blob(name: Digest, where: str = "") -> MissingArtifactError:
    return MissingArtifactError(f"there is no blob {name}", where=where, fix="restore the store from a backup")
