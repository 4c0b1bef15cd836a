"""A place in the words of an expression, and what is said when another word was expected there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from tenuto.core.expressions.cel.tokens import Token
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import cut, quoted

__all__ = ["Cursor", "other_word"]

_MEANT = {
    "and": "write &&", "or": "write ||", "not": "write !", "is": "write ==", "True": "write true",
    "False": "write false", "None": "write null", "if": "write condition ? yes : no", "len": "write size( )",
}  # fmt: skip


def other_word(name: str) -> str:
    """How CEL writes what another language writes so; empty for a word of none."""
    return _MEANT.get(name, "")


class Cursor:
    """Goes through words, of which the last is of kind `end`."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at: int = 0

    @property
    def next(self) -> Token:
        """The word that comes next."""
        return self.tokens[self.at]

    @property
    def done(self) -> int:
        """Where the last word that was taken ends."""
        return self.tokens[self.at - 1].end

    def take(self, sign: str) -> bool:
        """Whether this sign comes next; if so, it is taken."""
        token = self.next
        if token.kind != "sign" or token.value != sign:
            return False
        self.at += 1
        return True

    def expect(self, sign: str, why: str) -> None:
        """Take a sign that must come next. Raises FlawError."""
        if not self.take(sign):
            self.refuse_next(f"{sign} {why}")

    def refuse_next(self, expected: str) -> NoReturn:
        """Say that something else comes next. Raises FlawError."""
        token = self.next
        if token.kind == "end":
            raise FlawError("it ends too early", f"write {expected}", at=token.at)
        meant = other_word(token.value) if token.kind == "name" else ""
        shown = quoted(cut(str(token.value)))
        raise FlawError(f"{shown} is not expected here", meant or f"write {expected}", at=token.at)
