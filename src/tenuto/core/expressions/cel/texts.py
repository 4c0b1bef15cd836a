"""The functions that make strings of strings, as in CEL's extension for strings."""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from typing import Any

from tenuto.core.expressions.cel.frames import Frame
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import kind_of

__all__ = ["join", "lower_ascii", "replace", "split", "text_of", "trim", "upper_ascii"]

_UPPER = {code: code - 32 for code in range(97, 123)}
_LOWER = {code: code + 32 for code in range(65, 91)}
_BLANK = " \t\n\v\f\r"


def text_of(name: str, value: Any) -> str:
    """An argument of the function `name` that must be a string. Raises FlawError."""
    if isinstance(value, str):
        return value
    raise FlawError(f"{name} needs a string, and finds {kind_of(value)}", "convert it with string()")


def split(frame: Frame, value: Any, separator: Any) -> list[str]:
    """The parts between separators; an empty separator makes a part of each character."""
    text, between = text_of("split", value), text_of("split", separator)
    frame.spend_text(len(text))
    parts = text.split(between) if between else list(text)
    frame.spend(len(parts))
    return parts


def join(frame: Frame, items: Any, separator: Any = "") -> str:
    """The strings of a list, with the separator between them."""
    between = text_of("join", separator)
    if not isinstance(items, (list, tuple)):
        raise FlawError(f"join needs a list, and finds {kind_of(items)}", "write list.join(separator)")
    texts: list[str] = []
    for item in items:
        text = text_of("join", item)
        frame.spend_text(len(text) + len(between))
        texts.append(text)
    return between.join(texts)


def replace(frame: Frame, value: Any, old: Any, new: Any) -> str:
    """The text with `new` in every place of `old`, which may not be empty."""
    text, before, after = text_of("replace", value), text_of("replace", old), text_of("replace", new)
    if not before:
        raise FlawError("replace looks for an empty string", "give it what is to be replaced")
    frame.spend_text(len(text))
    frame.spend_text(text.count(before) * len(after))
    return text.replace(before, after)


def trim(frame: Frame, value: Any) -> str:
    """The text without the ASCII white space around it."""
    text = text_of("trim", value)
    frame.spend_text(len(text))
    return text.strip(_BLANK)


def lower_ascii(frame: Frame, value: Any) -> str:
    """The text with its ASCII letters in lower case."""
    text = text_of("lowerAscii", value)
    frame.spend_text(len(text))
    return text.translate(_LOWER)


def upper_ascii(frame: Frame, value: Any) -> str:
    """The text with its ASCII letters in upper case."""
    text = text_of("upperAscii", value)
    frame.spend_text(len(text))
    return text.translate(_UPPER)
