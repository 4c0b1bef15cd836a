"""What happens to model calls, tool calls and merges."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenuto.core.budget import Amount
from tenuto.core.content import Content
from tenuto.core.events.step import Failure
from tenuto.core.ids import Digest, Position
from tenuto.core.merging import MergedTree, MergePlan
from tenuto.core.models import ModelConfig, Served, Usage
from tenuto.core.tools import Effect

__all__ = [
    "CallInDoubt",
    "CallLost",
    "CallParked",
    "CallReconciled",
    "CallRefused",
    "CallResolved",
    "MergeRequested",
    "ModelCallFailed",
    "ModelCallRequested",
    "ModelReplied",
    "Part",
    "ToolCallFailed",
    "ToolCallRequested",
    "ToolReturned",
    "TreesMerged",
]


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One part of a request: digest and length of its canonical bytes. A long loop stores each part once."""

    digest: Digest
    length: int


class ModelCallRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived, durable before the call is made. The request is all parts of `extends`, then `parts`."""

    agent: str | None = None
    call: Position
    config: ModelConfig
    extends: Position | None = None
    fingerprint: Digest
    hold: Amount
    parts: tuple[Part, ...]
    try_number: int = msgspec.field(name="try", default=1)


class ModelReplied(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: the reply is an artifact (its digest), with what was really sent and served.

    `violations` are the ways in which the text does not meet the output schema the call asked for.
    """

    call: Position
    dropped: tuple[str, ...] = ()
    duration_ms: int = 0
    finish: str = "stop"
    reply: Content
    served: Served = Served()
    try_number: int = msgspec.field(name="try", default=1)
    usage: Usage = Usage()
    violations: tuple[str, ...] = ()


class ModelCallFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: one try failed. `kept`: the provider may have counted it, so its hold counts as spent."""

    call: Position
    duration_ms: int = 0
    error: Failure
    kept: bool
    retry_after_ms: int | None = None
    retryable: bool
    status: int | None = None
    try_number: int = msgspec.field(name="try", default=1)


class ToolCallRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived. `answered_by`: an earlier attempt's call with the same key, whose result is taken instead."""

    agent: str | None = None
    answered_by: Position | None = None
    arguments: Content
    call: Position
    effect: Effect
    fingerprint: Digest
    hold: Amount
    key: Digest
    tool: str
    tree: Digest
    try_number: int = msgspec.field(name="try", default=1)
    version: str


class ToolReturned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: the result is an artifact (its digest). `tree` is the tree after the call.

    `violations` are the ways in which a command's standard output does not meet its step's output schema.
    """

    call: Position
    duration_ms: int = 0
    result: Content
    schema_met: bool | None = None
    status: Literal["ok", "error"]
    tree: Digest
    try_number: int = msgspec.field(name="try", default=1)
    violations: tuple[str, ...] = ()


class ToolCallFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: one try did not come back. For `idempotent` and `once` tools that is doubt, not failure."""

    call: Position
    duration_ms: int = 0
    error: Failure
    retryable: bool
    try_number: int = msgspec.field(name="try", default=1)


class CallLost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: the outcome of this try will never be known. Its hold counts as spent, listed as in doubt."""

    call: Position
    kept: Amount
    try_number: int = msgspec.field(name="try", default=1)


class CallInDoubt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: an outside effect may or may not have happened; asks the tool itself or a person."""

    asks: Literal["tool", "person"]
    call: Position
    try_number: int = msgspec.field(name="try", default=1)


class CallReconciled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: the tool says what became of a call in doubt. Without an answer a person is asked."""

    call: Position
    done: bool | None
    result: Content | None = None
    try_number: int = msgspec.field(name="try", default=1)


class CallResolved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: a person says what became of a call in doubt."""

    asked_at_us: int = 0
    call: Position
    done: bool
    result: Content | None = None
    who: str = ""


class CallParked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: the call's account cannot pay its worst case; it waits for what others leave over."""

    call: Position
    free: Amount
    need: Amount
    try_number: int = msgspec.field(name="try", default=1)


class CallRefused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: nothing is left to pay the call with; its attempt fails and the step's policy decides."""

    call: Position
    need: Amount


class MergeRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: trees meet. Free to repeat, no hold.

    `settled` is the tree that an agent made of the conflicts of this very merge: it is looked at, not made again.
    """

    call: Position
    plan: MergePlan
    settled: Digest | None = None
    try_number: int = msgspec.field(name="try", default=1)


class TreesMerged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: a merge's outcome."""

    call: Position
    merged: MergedTree
    try_number: int = msgspec.field(name="try", default=1)
