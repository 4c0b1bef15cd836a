"""How tools of this package say what came out: canonical JSON, bounded, nothing raised for bad arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from tenuto.core.canonical import canonical, clean
from tenuto.core.tools import ToolCall
from tenuto.ports.tools import ToolOutput

__all__ = ["ERROR_CHARS_MAX", "TEXT_BYTES_MAX", "BadArgumentsError", "answer", "arguments_of", "refusal", "schema"]

TEXT_BYTES_MAX = 64 << 10
"""UTF-8 bytes of text that one answer of a built-in tool carries."""
ERROR_CHARS_MAX = 2_000
"""Characters of the longest error message given to a model."""

T = TypeVar("T")


class BadArgumentsError(Exception):
    """Arguments that a tool cannot use; its text is for the model that sent them."""


def answer(value: Any) -> ToolOutput:
    """An `ok` answer. Raises ValueError where `value` is no JSON value."""
    return ToolOutput(value=msgspec.Raw(canonical(clean(value))))


def refusal(message: str, **more: Any) -> ToolOutput:
    """An `error` answer: what is wrong, in words a model can act on."""
    text = message if len(message) <= ERROR_CHARS_MAX else message[:ERROR_CHARS_MAX] + "..."
    return ToolOutput(status="error", value=msgspec.Raw(canonical(clean({"error": text, **more}))))


def arguments_of(call: ToolCall, shape: type[T]) -> T:
    """The call's arguments as `shape`. Raises BadArgumentsError."""
    try:
        return msgspec.json.decode(call.arguments, type=shape)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
        raise BadArgumentsError(f"bad arguments: {error}") from None


def schema(properties: Mapping[str, Any], *, required: tuple[str, ...]) -> msgspec.Raw:
    """Canonical bytes of the JSON Schema of an object that has these properties and no others."""
    return msgspec.Raw(
        canonical(
            {
                "additionalProperties": False,
                "properties": dict(properties),
                "required": list(required),
                "type": "object",
            }
        )
    )
