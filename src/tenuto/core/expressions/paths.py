"""Reads an expression that is a plain path. Nearly all are, so this costs one regular expression and no CEL."""

from __future__ import annotations

import json
import re

from tenuto.core.expressions.errors import FlawError, Part
from tenuto.core.expressions.references import ROOTS, Reference, check_path

__all__ = ["read_path"]

_PART = r"""\.[A-Za-z_][A-Za-z0-9_-]*
    | \[[ \t]* (?: (?:0|[1-9][0-9]{0,8}) | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' ) [ \t]*\]"""
_PARTS = re.compile(_PART, re.VERBOSE)
_ALONE = re.compile(rf"[ \t\r\n]* ({'|'.join(ROOTS)}) ((?:{_PART})*) [ \t\r\n]*", re.VERBOSE)


def read_path(
    text: str, begin: int, offset: int, within: tuple[Part, ...], close: str
) -> tuple[Reference, int] | None:
    """The path that stands alone between `begin` and `close`, and the place of `close`; None where more stands there.

    An empty `close` is the end of the text. Raises FlawError for a path that cannot lead anywhere.
    """
    match = _ALONE.match(text, begin)
    if match is None:
        return None
    end = match.end()
    if (close and not text.startswith(close, end)) or (not close and end < len(text)):
        return None
    root = match[1]
    parts = tuple(_part(found) for found in _PARTS.findall(match[2]))
    wrong = check_path(root, parts)
    if wrong is not None:
        raise FlawError(*wrong)
    return Reference(root, parts, offset, within), end


def _part(written: str) -> Part:
    if written[0] == ".":
        return written[1:]
    inner = written[1:-1].strip(" \t")
    if inner[0] == "'":
        return re.sub(r"\\(['\\])", r"\1", inner[1:-1])
    if inner[0] != '"':
        return int(inner)
    try:
        return str(json.loads(inner))
    except ValueError:
        raise FlawError(f"the key {inner} is not a JSON string", "mind its backslashes") from None
