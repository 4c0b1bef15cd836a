"""Policies that a step, an agent or a plan's defaults may declare: the nearest wins."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["OnError", "Repeat", "Retry"]

OnError = Literal["fail", "continue", "skip"]
"""`fail`: the run fails (steps earlier in plan order finish, later ones are cancelled). `continue`: dependents run
and see the error. `skip`: dependents are skipped."""


class Retry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`attempts`: starts of a step by policy. `tries`: repeats of one call for transport reasons (429, 5xx)."""

    attempts: int = 1
    backoff_ms: int = 1_000
    tries: int = 4


class Repeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step that runs again and again: `max` times, or until the condition `until` holds after an iteration.

    Where `until` never held, the step has failed.
    """

    max: int
    until: str | None = None
