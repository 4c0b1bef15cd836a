"""Parts of replies that several formats have in common: texts, tool calls, counts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from tenuto.adapters.models.counting import request_bytes
from tenuto.adapters.models.reply_bodies import bad_reply
from tenuto.core.canonical import canonical, clean
from tenuto.core.models import ModelProfile, ModelRequest, ToolCallAsk, Usage

__all__ = ["count_of", "label_of", "read_calls", "read_text", "read_usage"]

_LABEL_MAX = 256
CALLS_MAX = 1_000
"""Tool calls in one reply; more are no plan but a fault."""


def label_of(value: Any) -> str | None:
    """A short text of the server's, or None."""
    return clean(value)[:_LABEL_MAX] if isinstance(value, str) and value else None


def read_text(content: Any, kinds: tuple[str, ...] = ("text",)) -> str:
    """The text of a content: none, a text, or a list of parts of these kinds."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in kinds]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts):
            return "".join(texts)
    raise bad_reply("the content of the reply is no text")


def read_calls(items: Iterable[tuple[Any, Any, Any]], request: ModelRequest) -> tuple[ToolCallAsk, ...]:
    """Tool calls from (id, name, arguments). A missing id is made up; two equal ones make the reply unusable.

    Whether a tool of that name is there is not looked at: the model is told so in place of a result.
    """
    calls: list[ToolCallAsk] = []
    seen: set[str] = set()
    for index, (given, name, arguments) in enumerate(items):
        if index >= CALLS_MAX:
            raise bad_reply(f"the reply has more than {CALLS_MAX} tool calls")
        if not isinstance(name, str) or not name:
            raise bad_reply("a tool call of the reply has no name")
        identity = given or f"call_{request.fingerprint[:8]}_{index}"
        if not isinstance(identity, str) or identity in seen:
            raise bad_reply("two tool calls of the reply have the same id")
        seen.add(identity)
        calls.append(ToolCallAsk(arguments=_arguments(arguments), id=identity, name=name))
    return tuple(calls)


def _arguments(value: Any) -> msgspec.Raw:
    """Arguments as canonical JSON. A model that writes broken JSON may write it right at the next try."""
    try:
        decoded = clean(json.loads(value or "{}")) if value is None or isinstance(value, str) else value
        if isinstance(decoded, dict):
            return msgspec.Raw(canonical(decoded))
    except (ValueError, RecursionError):
        pass
    raise bad_reply("the arguments of a tool call are no JSON object")


def read_usage(
    value: Any, request: ModelRequest, profile: ModelProfile, *, asked_key: str, answered_key: str
) -> Usage:
    """What a provider counted; details stand below `KEY_details`.

    What it does not report counts as the bound of the request, so the ledger is never below what was used.
    """
    usage = value if isinstance(value, dict) else {}
    asked, answered, total = (count_of(usage, key) for key in (asked_key, answered_key, "total_tokens"))
    if answered is None and asked is not None and total is not None:
        answered = max(0, total - asked)
    if asked is None:
        asked = request_bytes(request) + profile.input_overhead_tokens
    return Usage(
        cached_input_tokens=count_of(usage.get(f"{asked_key}_details"), "cached_tokens") or 0,
        input_tokens=asked,
        output_tokens=request.config.max_tokens if answered is None else answered,
        reasoning_tokens=count_of(usage.get(f"{answered_key}_details"), "reasoning_tokens") or 0,
    )


def count_of(holder: Any, key: str) -> int | None:
    """A count below a key, or None for all that is no plain count."""
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if type(value) is int and 0 <= value < 1 << 53 else None
