"""Every exception tenuto raises on purpose, named after its consequence.

This module is at the bottom: it imports the standard library only, so that every layer may raise and catch.

    TenutoError                      exit code
    ├── InvalidPlanError             2   a plan, an agent file or another input cannot be used as written
    ├── UsageError                   2   what was asked for makes no sense here (unknown run, bad flag)
    ├── RefusedRequestError          2   a run refuses what an outsider asks (already ended, already answered)
    ├── DivergedError                5   replay or resume met a call that differs from the record
    ├── AccountChangedError          3   the account of a root run has less than was asked of it
    ├── FencedError                  6   another engine owns the run; this one must stop at once
    ├── StorageError                 7   a store cannot do its work (full disk, permission, I/O)
    │   ├── DamagedStoreError        7   stored bytes are not what was written
    │   ├── NewerStoreError          7   the store was written by a newer tenuto
    │   └── HeadMovedError           7   an append expected another head (a stale expectation)
    ├── ArtifactConflictError        7   compare-and-swap on an artifact's name lost
    ├── MissingArtifactError         7   no artifact, version or blob of that name
    ├── ModelCallError               -   one try of a model call failed; becomes a recorded outcome
    ├── ToolCallError                -   one try of a tool call failed; becomes a recorded outcome
    ├── SandboxUnavailableError      2   no sandbox on this machine and none was waived
    └── MergeConflictError           1   trees cannot be merged under the policy

Errors for users are one line: what, where, how to fix. `str(error)` is that line.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

__all__ = [
    "AccountChangedError",
    "ArtifactConflictError",
    "DamagedStoreError",
    "DivergedError",
    "ExitCode",
    "FencedError",
    "HeadMovedError",
    "InvalidPlanError",
    "MergeConflictError",
    "MissingArtifactError",
    "ModelCallError",
    "NewerStoreError",
    "RefusedRequestError",
    "SandboxUnavailableError",
    "StorageError",
    "TenutoError",
    "ToolCallError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What a process says when it ends. Where several hold: 7, 6, 5, 130, 4, 3, 1."""

    OK = 0
    FAILED = 1
    USAGE = 2
    EXHAUSTED = 3
    WAITING = 4
    DIVERGED = 5
    FENCED = 6
    STORAGE = 7
    INTERRUPTED = 130


class TenutoError(Exception):
    """Base of all. `what` happened, `where` (file:line:col, call, path), `fix` = what to do about it."""

    exit_code: ExitCode = ExitCode.FAILED
    code: str = "failed"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.fix}" if self.fix else line


class UsageError(TenutoError):
    exit_code = ExitCode.USAGE
    code = "usage"


class InvalidPlanError(UsageError):
    """A plan or agent file cannot be used. `errors`: every problem found, this one first; `str`: a line for each."""

    code = "invalid_plan"

    def __init__(self, what: str, *, where: str = "", fix: str = "", others: Sequence[InvalidPlanError] = ()) -> None:
        super().__init__(what, where=where, fix=fix)
        self.errors: tuple[InvalidPlanError, ...] = (self, *others)

    def __str__(self) -> str:
        return "\n".join((super().__str__(), *map(str, self.errors[1:])))


class RefusedRequestError(UsageError):
    code = "refused"


class SandboxUnavailableError(UsageError):
    code = "no_sandbox"


class DivergedError(TenutoError):
    exit_code = ExitCode.DIVERGED
    code = "diverged"


class AccountChangedError(TenutoError):
    """Nothing was taken. Another run may have taken it since the account was read."""

    exit_code = ExitCode.EXHAUSTED
    code = "account_changed"


class FencedError(TenutoError):
    exit_code = ExitCode.FENCED
    code = "fenced"


class StorageError(TenutoError):
    exit_code = ExitCode.STORAGE
    code = "storage"


class DamagedStoreError(StorageError):
    code = "damaged"


class NewerStoreError(StorageError):
    code = "newer_store"


class HeadMovedError(StorageError):
    code = "head_moved"


class ArtifactConflictError(TenutoError):
    """Two writers wanted the same next version of a name. Both are named in `what`."""

    exit_code = ExitCode.STORAGE
    code = "artifact_conflict"


class MissingArtifactError(TenutoError):
    exit_code = ExitCode.STORAGE
    code = "missing_artifact"


class MergeConflictError(TenutoError):
    code = "merge_conflict"


class ModelCallError(TenutoError):
    """One try of a model call failed.

    `kind` is a closed vocabulary: `refused_connection`, `bad_request`, `unauthorized`, `rate_limited`,
    `server`, `timeout`, `cut_stream`, `bad_response`, `too_large`, `context_length`, `cancelled`.
    `sent` says whether the provider may have counted the call: then the hold is kept, else it is released.
    `retryable` says whether another try of the same request can help.
    """

    code = "model_call"

    def __init__(
        self,
        what: str,
        *,
        kind: str,
        sent: bool,
        retryable: bool,
        status: int | None = None,
        retry_after_ms: int | None = None,
        where: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.kind = kind
        self.sent = sent
        self.retryable = retryable
        self.status = status
        self.retry_after_ms = retry_after_ms


class ToolCallError(TenutoError):
    """One try of a tool call did not come back (crash of its host, timeout, cancellation).

    A tool that ran and reports an error returns a `ToolOutput` with status `error` instead: that is an answer.
    `kind`: `timeout`, `crashed`, `cancelled`, `unavailable`.
    """

    code = "tool_call"

    def __init__(self, what: str, *, kind: str, retryable: bool, where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.kind = kind
        self.retryable = retryable
