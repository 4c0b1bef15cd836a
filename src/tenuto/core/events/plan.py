"""Sub-plans that earlier steps have produced."""

from __future__ import annotations

import msgspec

from tenuto.core.content import Content
from tenuto.core.ids import Digest, Position

__all__ = ["PlanLoaded", "PlanRequested"]


class PlanRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: a step needs the plan that `source` describes (a plan file's text as a JSON string, or its object).

    `tree` is the one that the step will start from.
    """

    call: Position
    source: Content
    tree: Digest
    try_number: int = msgspec.field(name="try", default=1)


class PlanLoaded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: the plan as it will be run, held to the registry of the run; or what is wrong with it."""

    call: Position
    errors: tuple[str, ...] = ()
    plan: Content | None = None
    try_number: int = msgspec.field(name="try", default=1)
