"""CEL, the Common Expression Language, over JSON values: pure, bounded, and the same everywhere.

Why it is written here and which parts of CEL it has: `docs/decisions/0010-cel-over-json-values-is-our-own.md`.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenuto.core.canonical import DEPTH_MAX
from tenuto.core.expressions.cel.access import Path
from tenuto.core.expressions.cel.frames import COST_MAX, Frame, as_read
from tenuto.core.expressions.cel.nodes import Node
from tenuto.core.expressions.cel.parser import Parser
from tenuto.core.expressions.cel.tokens import EXPRESSION_MAX, read_tokens
from tenuto.core.expressions.errors import FlawError, Part
from tenuto.core.expressions.expression import Expression
from tenuto.core.expressions.references import Scope

__all__ = ["COST_MAX", "EXPRESSION_MAX", "read_expression"]


class _Calculation(Expression, frozen=True):
    node: Node
    slots: int

    def calculate(self, scope: Scope, /) -> Any:
        frame = Frame(scope, self.source, self.offset, self.slots)
        value = as_read(self.node.value(frame))
        _check_result(self.node, value, frame)
        return value


def read_expression(text: str, begin: int, within: tuple[Part, ...], close: str) -> tuple[Expression, int]:
    """The expression between `begin` and `close` (empty: the end of the text), and the place of `close`.

    Raises FlawError with the place of what is wrong.
    """
    tokens = read_tokens(text, begin, close)
    end = tokens[-1].at
    parser = Parser(tokens, within)
    node = parser.parse()
    return _Calculation(text[begin:end], tuple(parser.references), begin, within, node, parser.slots), end


def _check_result(node: Node, value: Any, frame: Frame) -> None:
    """Refuse a made value that is too deep, or much larger than it looks because its parts share parts."""
    if isinstance(node, Path) or not isinstance(value, (list, tuple, Mapping)):
        return
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise FlawError(f"the result is nested more than {DEPTH_MAX} deep", "make it flatter")
        frame.spend(len(level))
        level = [item for held in level for item in _items(held, frame)]


def _items(held: Any, frame: Frame) -> list[Any]:
    if isinstance(held, str):
        frame.spend_text(len(held))
        return []
    found = (
        list(held.values()) if isinstance(held, Mapping) else list(held) if isinstance(held, (list, tuple)) else []
    )
    frame.spend(len(found))
    return found
