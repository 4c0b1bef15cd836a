"""An expression that is more than a path: a compiled calculation over what it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tenuto.core.expressions.errors import FlawError, Part, placed
from tenuto.core.expressions.references import Reference, Scope
from tenuto.core.expressions.wording import one_line

__all__ = ["Expression"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled calculation. Equal where source and place are; `references` are in the order of writing."""

    source: str
    references: tuple[Reference, ...]
    offset: int
    within: tuple[Part, ...]
    _calculate: Callable[[Scope], Any] = field(compare=False, repr=False)

    def resolve(self, scope: Scope) -> Any:
        """Its value. Raises ExpressionError naming what in it has no value."""
        try:
            return self._calculate(scope)
        except FlawError as flaw:
            raise placed(flaw, self.source, self.offset, self.within) from None

    def __str__(self) -> str:
        return one_line(self.source)
