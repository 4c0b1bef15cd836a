"""What people are asked, and what they answer."""

from __future__ import annotations

import msgspec

from tenuto.core.content import Content
from tenuto.core.ids import Position

__all__ = ["ApprovalAnswered", "ApprovalRequested"]


class ApprovalRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: the call waits for a person, and nothing else does. An answer counts until `due_us` (UTC).

    `question` is what they are asked, `details` what they see with it and may edit: the arguments of a tool's call,
    the values of an approval step. `tool` is named where its call waits, and `repeats` is the call of an earlier run
    whose outside effect it would repeat.
    """

    call: Position
    details: Content | None = None
    due_us: int | None = None
    question: Content
    repeats: str | None = None
    tool: str | None = None


class ApprovalAnswered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: a person's answer, from the inbox. `details` are those they have edited."""

    approved: bool
    asked_at_us: int
    call: Position
    details: Content | None = None
    note: str = ""
    who: str = ""
