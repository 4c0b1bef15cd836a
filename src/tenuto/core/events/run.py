"""What happens to a run as a whole."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenuto.core.budget import NOTHING, Amount, Limits
from tenuto.core.content import Content
from tenuto.core.ids import Digest, Position, RunId, StepPath

__all__ = [
    "ParkedCall",
    "RunCancelled",
    "RunEnded",
    "RunExhausted",
    "RunForked",
    "RunPaused",
    "RunResumed",
    "RunStarted",
]


class RunStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input, always seq 0. `plan`, `registry` and `lock` are digests of bodies in the store.

    `logic` is the version of the kernel's decisions that the run follows to its end. `tree` is the repository as the
    run found it; `repository` and `commit` say where that was, for `apply`.
    """

    budget: Limits = Limits()
    commit: str | None = None
    inputs: Content
    lock: Digest
    logic: int
    max_parallel: int
    plan: Digest
    registry: Digest
    repository: str = ""
    run: RunId
    seed: str
    tree: Digest


class RunForked(RunStarted, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input, always seq 0: a run that begins with what another run came to, and says which.

    `root` is the run that this and all its parents come from, whose account in the store pays: `granted` is what that
    gave, `add_budget` what somebody added, and `budget` the limits that follow. `reuse` is the digest of the table of
    results to take; `left_out` names steps whose results are not in it, `changes` what else was changed.
    """

    add_budget: Amount = NOTHING
    changes: tuple[str, ...] = ()
    granted: Amount = NOTHING
    left_out: tuple[StepPath, ...] = ()
    parent: RunId
    parent_head: Digest
    reuse: Digest
    root: RunId


class RunResumed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: an engine opened the run again. Open calls of the engine before are lost or in doubt from here.

    The run goes on under the logic that its `RunStarted` names.
    """

    add_budget: Amount = NOTHING
    add_time_ms: int = 0
    max_parallel: int


class RunCancelled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: somebody cancelled the run. After it no call starts."""

    asked_at_us: int = 0
    reason: str = ""
    who: str = ""


class RunPaused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: somebody paused the run. Calls under way end and are recorded; none starts until it is resumed."""

    asked_at_us: int = 0
    who: str = ""


class ParkedCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    call: Position
    need: Amount


class RunExhausted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: nothing can be paid any more; the run stops, its calls stay parked. `resume` may go on."""

    free: Amount
    parked: tuple[ParkedCall, ...] = ()
    why: Literal["budget", "time"] = "budget"


class RunEnded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: the last record. `result` is the result digest; `tree` the final tree."""

    error: str = ""
    failed_step: StepPath | None = None
    in_doubt: Amount
    outputs: Content | None = None
    result: Digest
    spent: Amount
    status: Literal["ok", "failed", "cancelled"]
    tree: Digest
