"""What Python step programs ask, and timers."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenuto.core.budget import Limits
from tenuto.core.content import Content
from tenuto.core.events.step import Failure
from tenuto.core.ids import StepPath

__all__ = [
    "Ask",
    "AskAgent",
    "AskModel",
    "AskPerson",
    "AskTool",
    "OpenLanes",
    "Sleep",
    "StepAdvanced",
    "TimerFired",
    "TimerSet",
]


class AskModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="model", tag_field="ask"):
    """One model call. `agent` lends instructions and model; `schema` is a JSON Schema."""

    agent: str | None = None
    max_tokens: int | None = None
    model: str | None = None
    ordinal: str
    prompt: Content
    schema: Content | None = None
    system: Content | None = None


class AskTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="tool", tag_field="ask"):
    """One tool call. `arguments` is a JSON object."""

    arguments: Content
    ordinal: str
    tool: str


class AskAgent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="agent", tag_field="ask"):
    """A child step: the named agent works on `task` with its own loop, account and tree."""

    agent: str
    budget: Limits | None = None
    ordinal: str
    schema: Content | None = None
    task: Content


class AskPerson(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="person", tag_field="ask"
):
    """A question to a person, who may say yes or no. `details` is what they see with it, and may edit."""

    details: Content | None = None
    expires_ms: int | None = None
    ordinal: str
    question: Content


class OpenLanes(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="gather", tag_field="ask"
):
    """A gather begins; the first asks of its lanes follow in the same advance."""

    lanes: int
    ordinal: str


class Sleep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="sleep", tag_field="ask"):
    duration_ms: int
    ordinal: str


Ask = AskModel | AskTool | AskAgent | AskPerson | OpenLanes | Sleep


class StepAdvanced(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: a program asked, returned or raised. `at` is the place of the await in the user's source.

    `closed` lists the ordinals of gathers whose lanes have all ended.
    """

    asks: tuple[Ask, ...] = ()
    at: str = ""
    attempt: int
    closed: tuple[str, ...] = ()
    path: StepPath
    raised: Failure | None = None
    returned: Content | None = None


class TimerSet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: wait until `due_us` (UTC). `timer` is the position of a call, sleep or wait, or `path/attempt`.

    `expires`: until then a person may answer.
    """

    due_us: int
    timer: str
    try_number: int = msgspec.field(name="try", default=1)
    why: Literal["attempt", "try", "sleep", "wait", "expires"]


class TimerFired(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Input: a timer is over."""

    timer: str
    try_number: int = msgspec.field(name="try", default=1)
