"""What happens to a step."""

from __future__ import annotations

import msgspec

from tenuto.core.budget import Amount
from tenuto.core.ids import Digest, Position, RunId, StepPath

__all__ = [
    "AttemptFailed",
    "Failure",
    "Source",
    "StepCancelled",
    "StepCompleted",
    "StepExpanded",
    "StepFailed",
    "StepReused",
    "StepSkipped",
    "StepStarted",
]


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An error as a value. `kind` is a short name to decide by, `message` one line for people and models."""

    call: Position | None = None
    kind: str
    message: str


class StepStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: an attempt begins. `key` is the step key; `agent` the hash of the agent's spec.

    `asked_by` is the position of the ask that made a child step.
    """

    account: Amount | None = None
    agent: Digest | None = None
    asked_by: Position | None = None
    attempt: int
    key: Digest
    path: StepPath
    tree: Digest


class StepExpanded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: a `foreach` knows its children. `share` is the account of each."""

    items: Digest
    keys: tuple[str, ...]
    path: StepPath
    share: Amount | None = None
    tree: Digest


class StepCompleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: the step's output and output tree; `leaf` is its part of the result digest."""

    leaf: Digest
    output: Digest
    path: StepPath
    tree: Digest


class Source(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The record that says what a step came to: its run and seq."""

    run: RunId
    seq: int


class StepReused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: a step of a fork takes the recorded result with an equal step key. Nothing of it is executed.

    `source` is where it was executed, however many forks ago; `asked_by` the position of the ask that made the step.
    """

    asked_by: Position | None = None
    key: Digest
    leaf: Digest
    output: Digest
    path: StepPath
    source: Source
    tree: Digest


class StepFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: no attempt is left. The step's output tree is its input tree."""

    error: Failure
    leaf: Digest
    path: StepPath
    tree: Digest


class StepSkipped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: a step that it needs failed or was skipped under `on_error: skip`."""

    because: StepPath
    leaf: Digest
    path: StepPath
    tree: Digest


class StepCancelled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: the run was cancelled, or a step before it in plan order failed the run."""

    path: StepPath


class AttemptFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: this attempt is over; the retry policy says what follows."""

    attempt: int
    error: Failure
    path: StepPath
