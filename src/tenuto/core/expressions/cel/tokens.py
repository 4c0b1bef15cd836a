"""The words of a CEL expression, with the place of each."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple, NoReturn

from tenuto.core.expressions.cel.literals import read_number, read_string
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import cut, quoted

__all__ = ["EXPRESSION_MAX", "Token", "read_tokens"]

EXPRESSION_MAX = 10_000
"""Characters of the longest expression."""

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f]+)
    | (?P<string>[rRbB]{0,2}(?:"""
    + r"\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
    + r"""))
    | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_RAW = re.compile(r"""[rR](?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')""", re.DOTALL)
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORD = re.compile(r"[A-Za-z0-9_]+")
_MEANT = {"=": "write == to compare", "&": "write && for and", "|": "write || for or"}

Kind = Literal["space", "name", "field", "number", "string", "sign", "end"]


class Token(NamedTuple):
    """One word. `value` is what a number or a string stands for; for others it is their text."""

    kind: Kind
    value: Any
    at: int
    end: int


def read_tokens(text: str, begin: int, close: str) -> list[Token]:
    """The words from `begin` to `close` (or to the end of the text); the last one is of kind `end`.

    Braces that the expression opens are its own. Raises FlawError.
    """
    tokens: list[Token] = []
    at = begin
    braces = 0
    while at < len(text):
        if not braces and close and text.startswith(close, at):
            break
        if at - begin >= EXPRESSION_MAX:
            raise FlawError(f"the expression is longer than {EXPRESSION_MAX} characters", "make it shorter", at=at)
        token = _read_token(text, at, begin + EXPRESSION_MAX, tokens[-1] if tokens else None)
        if token.kind == "sign":
            braces += {"{": 1, "}": -1}.get(token.value, 0)
        if braces < 0:
            raise FlawError("there is a } without its {", "take it away, or open it", at=at)
        at = token.end
        if token.kind != "space":
            tokens.append(token)
    else:
        if close:
            raise FlawError("it is not closed", f"end it with {close}", at=begin)
    tokens.append(Token("end", close, at, at))
    return tokens


def _read_token(text: str, at: int, stop: int, before: Token | None) -> Token:
    """The word at a place, which depends on the word before; it ends at `stop` at the latest."""
    if before is not None:
        if before.value == "." and before.kind == "sign" and (match := _FIELD.match(text, at, stop)) is not None:
            return Token("field", match[0], at, match.end())
        if text[at] == "." and (before.kind in ("name", "field", "string") or before.value in (")", "]", "}")):
            return Token("sign", ".", at, at + 1)
    match = _RAW.match(text, at, stop) or _TOKEN.match(text, at, stop)
    if match is None:
        _refuse(text, at)
    kind = match.lastgroup
    end = match.end()
    if kind == "space":
        return Token("space", "", at, end)
    if kind == "name" and text[end : end + 1] in ("'", '"'):
        raise FlawError("a text is not closed", "end it with the quote it begins with", at=at)
    if kind == "number":
        if (after := _WORD.match(text, end, stop)) is not None:
            written = cut(match[0] + after[0])
            raise FlawError(f"{written} is no number", "write a number such as 12 or 1.5", at=at)
        return Token("number", read_number(match[0], at), at, end)
    if kind in ("string", None):
        return Token("string", read_string(match[0], at), at, end)
    return Token("name" if kind == "name" else "sign", match[0], at, end)


def _refuse(text: str, at: int) -> NoReturn:
    found = text[at]
    if found in "'\"":
        what = f"a text is not closed within the {EXPRESSION_MAX} characters of an expression"
        raise FlawError(
            what if len(text) - at > EXPRESSION_MAX else "a text is not closed",
            "end it with the quote it begins with",
            at=at,
        )
    fix = _MEANT.get(found, "write names, numbers, texts in quotes, and operators")
    raise FlawError(f"{quoted(found)} has no meaning here", fix, at=at)
