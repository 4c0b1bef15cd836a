"""What one evaluation holds: the scope, the variables of macros, and what it may still cost."""

from __future__ import annotations

from typing import Any

from tenuto.core.canonical import canonical, parse
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.references import Scope
from tenuto.core.expressions.wording import cut, one_line

__all__ = ["COST_MAX", "Frame", "as_read"]

COST_MAX = 1_000_000
"""What one evaluation may cost: about the parts of expressions it evaluates in all turns of its macros, and the
items, and every 64 characters of texts, that it looks through or makes."""

_WHOLE_MAX = 1e21


class Frame:
    """One evaluation. Made anew for each, so that the same scope always costs the same."""

    __slots__ = ("_left", "_source", "_start", "scope", "slots")

    def __init__(self, scope: Scope, source: str, start: int, slots: int) -> None:
        self.scope = scope
        self.slots: list[Any] = [None] * slots
        self._source = source
        self._start = start
        self._left = COST_MAX

    def spend(self, cost: int) -> None:
        """Count work before it is done. Raises FlawError when there is too much of it."""
        self._left -= cost
        if self._left < 0:
            raise FlawError("the expression looks at too many values", "look at fewer, or use a step", final=True)

    def spend_text(self, length: int) -> None:
        """Count the characters of a text that is looked through or made."""
        self.spend(1 + (length >> 6))

    def written(self, at: int, end: int) -> str:
        """A part of the expression as it is written, for messages."""
        return cut(one_line(self._source[at - self._start : end - self._start]))


def as_read(value: Any) -> Any:
    """A value of the scope as it would be stored and read: JSON does not tell 2.0 from 2, so both are the int 2."""
    if type(value) is float and value.is_integer() and -_WHOLE_MAX < value < _WHOLE_MAX:
        return parse(canonical(value))
    return value
