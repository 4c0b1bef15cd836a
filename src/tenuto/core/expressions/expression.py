"""An expression that is more than a path: a compiled calculation over what it reads."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tenuto.core.expressions.errors import FlawError, Part, placed
from tenuto.core.expressions.references import Reference, Scope
from tenuto.core.expressions.wording import one_line

__all__ = ["Expression"]


class Expression(Struct, frozen=True):
    """A compiled calculation, told from what calculates it; `references` are in the order of writing."""

    source: str
    references: tuple[Reference, ...]
    offset: int
    within: tuple[Part, ...]

    def calculate(self, scope: Scope, /) -> Any:
        """Its value. Raises FlawError."""
        raise NotImplementedError

    def resolve(self, scope: Scope) -> Any:
        """Its value. Raises ExpressionError naming what in it has no value."""
        try:
            return self.calculate(scope)
        except FlawError as flaw:
            raise placed(flaw, self.source, self.offset, self.within) from None

    def __str__(self) -> str:
        return one_line(self.source)
