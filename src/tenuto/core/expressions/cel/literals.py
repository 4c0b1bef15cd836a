"""What the numbers and strings of an expression stand for."""

from __future__ import annotations

import math
import re

from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import cut
from tenuto.core.printable import printable

__all__ = ["INTEGER_MAX", "read_number", "read_string"]

INTEGER_MAX = 2**63
"""One more than the largest integer that can be written or calculated with."""

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip


def read_number(written: str, at: int) -> int | float:
    """An int or a float. An int may be one too large: a minus before it may bring it into range."""
    if written[:2] in ("0x", "0X"):
        value: int | float = int(written[2:18], 16) if len(written) <= 18 else INTEGER_MAX + 1
    elif written.isdigit():
        value = int(written) if len(written) <= 40 else INTEGER_MAX + 1
    else:
        value = float(written)
    if value > INTEGER_MAX if isinstance(value, int) else math.isinf(value):
        raise FlawError(f"the number {cut(written)} is too large", "write one of at most 64 bits", at=at)
    return value


def read_string(written: str, at: int) -> str:
    """The text that a quoted string stands for. Raises FlawError for bytes and for unknown escapes."""
    body = written.lstrip("rRbB")
    prefix = written[: len(written) - len(body)].lower()
    if "b" in prefix:
        raise FlawError("bytes are no JSON value", "write a text without the b before it", at=at)
    quotes = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    inner = body[quotes:-quotes]
    if prefix or "\\" not in inner:
        return inner
    text = _ESCAPE.sub(lambda match: _escaped(match, at), inner)
    try:
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise FlawError("a text holds half of a surrogate pair", "write the whole character", at=at) from None


def _escaped(match: re.Match[str], at: int) -> str:
    simple = match[5]
    if simple is not None:
        if simple in _SIMPLE:
            return _SIMPLE[simple]
        raise FlawError(f"\\{printable(simple)} is no escape", "write \\\\ for a backslash", at=at)
    code = int(match[4], 8) if match[4] else int(match[1] or match[2] or match[3], 16)
    if code > 0x10FFFF:
        raise FlawError(f"{match[0]} is no character", "write one of at most \\U0010FFFF", at=at)
    return chr(code)
