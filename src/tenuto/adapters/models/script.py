"""The entries of a script: which requests each answers, and with what."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tenuto.core.ids import Position, split_position
from tenuto.core.models import ModelRequest, Usage

__all__ = ["ERROR_KINDS", "ScriptedFailure", "ScriptedReply", "ScriptedToolCall"]

ERROR_KINDS: Mapping[str, tuple[bool, bool, int | None]] = {
    "refused_connection": (False, True, None),
    "bad_request": (False, False, 400),
    "unauthorized": (False, False, 401),
    "rate_limited": (False, True, 429),
    "server": (True, True, 500),
    "timeout": (True, True, None),
    "cut_stream": (True, True, None),
    "bad_response": (True, True, 200),
    "too_large": (True, False, 200),
    "context_length": (False, False, 400),
    "cancelled": (True, False, None),
}
"""What each kind of failure means unless an entry says otherwise: sent, retryable, status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptedToolCall:
    """A tool call to answer with. Without `id` it is named after the call's place in the reply."""

    arguments: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptedFailure:
    """A ModelCallError to raise; `sent`, `retryable` and `status` are what `ERROR_KINDS` says unless given."""

    kind: str
    message: str = "scripted failure"
    retry_after_ms: int | None = None
    retryable: bool | None = None
    sent: bool | None = None
    status: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptedReply:
    """One entry: which requests it answers (every condition that is given must hold) and with what.

    `step` is a step path (`*` stands for any text), `attempt` the attempt, `ordinal` the place of the call in
    its attempt, `try_number` the try, `contains` a part of any message, `matches` a regular expression found in
    any message. `times` is how often it answers (None: always). Either `failure`, or `text` and `tool_calls`;
    `json` is a value to answer as canonical JSON text.
    """

    attempt: int | None = None
    contains: str | None = None
    delay_ms: int = 0
    failure: ScriptedFailure | None = None
    finish: str | None = None
    json: Any = msgspec.UNSET
    matches: re.Pattern[str] | None = None
    ordinal: str | None = None
    step: str | None = None
    text: str = ""
    times: int | None = None
    tool_calls: tuple[ScriptedToolCall, ...] = ()
    try_number: int | None = None
    usage: Usage | None = None

    def answers(self, request: ModelRequest) -> bool:
        """Whether every condition holds for `request`."""
        step, attempt, ordinal = _place(request.call)
        if self.step is not None and not _fits(self.step, step):
            return False
        if self.attempt not in (None, attempt) or self.ordinal not in (None, ordinal):
            return False
        if self.try_number not in (None, request.try_number):
            return False
        texts = [message.text for message in request.messages]
        if self.contains is not None and not any(self.contains in text for text in texts):
            return False
        return self.matches is None or any(self.matches.search(text) for text in texts)


def _place(call: str) -> tuple[str, int, str]:
    """Step path, attempt and ordinal of a call id `run/step/attempt/ordinal`; the run's own name holds no `/`."""
    try:
        step, attempt, ordinal = split_position(Position(call.partition("/")[2]))
    except ValueError:
        return call, 0, ""
    return step, attempt, ordinal


@functools.lru_cache(256)
def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))) + r"\Z", re.DOTALL)


def _fits(pattern: str, step: str) -> bool:
    return pattern == step or ("*" in pattern and _wildcard(pattern).match(step) is not None)
