"""The parts of a compiled expression. Each knows its value in a frame.

Evaluation recurses as deep as the expression is nested, which the parser bounds; loops are counted by the frame.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from typing import Any

from msgspec import Struct

from tenuto.core.expressions.cel.frames import Frame
from tenuto.core.expressions.cel.operators import apply, is_number
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import kind_of, quoted

__all__ = [
    "Binary",
    "Choice",
    "Items",
    "Literal",
    "Minus",
    "Node",
    "Not",
    "Object",
    "Several",
    "truth",
]


class Node(Struct, frozen=True):
    """A part of an expression, written from `at` to `end`."""

    at: int
    end: int

    def value(self, frame: Frame, /) -> Any:
        """Its value. Raises FlawError where it has none."""
        raise NotImplementedError

    @property
    def inner(self) -> tuple[Node, ...]:
        """The parts it is made of."""
        return ()


class Literal(Node, frozen=True):
    constant: Any

    def value(self, _frame: Frame, /) -> Any:
        return self.constant


class Items(Node, frozen=True):
    items: tuple[Node, ...]

    def value(self, frame: Frame) -> Any:
        return [item.value(frame) for item in self.items]

    @property
    def inner(self) -> tuple[Node, ...]:
        return self.items


class Object(Node, frozen=True):
    pairs: tuple[tuple[Node, Node], ...]

    def value(self, frame: Frame) -> Any:
        made: dict[str, Any] = {}
        for key_node, item in self.pairs:
            key = key_node.value(frame)
            if type(key) is not str:
                raise FlawError(f"{kind_of(key)} is no key", "write a string as the key", at=key_node.at)
            if key in made:
                raise FlawError(f"the key {quoted(key)} is there twice", "take one away", at=key_node.at)
            made[key] = item.value(frame)
        return made

    @property
    def inner(self) -> tuple[Node, ...]:
        return tuple(node for pair in self.pairs for node in pair)


class Not(Node, frozen=True):
    operand: Node

    def value(self, frame: Frame) -> Any:
        return not truth(self.operand, frame)

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.operand,)


class Minus(Node, frozen=True):
    operand: Node

    def value(self, frame: Frame) -> Any:
        value = self.operand.value(frame)
        if not is_number(value):
            raise FlawError(f"- needs a number, and finds {kind_of(value)}", "convert it with int()", at=self.at)
        try:
            return apply("-", 0 if type(value) is int else -0.0, value, frame)
        except FlawError as flaw:
            raise _with_place(flaw, self.at) from None

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.operand,)


class Binary(Node, frozen=True):
    """Two values and an operator between them."""

    sign: str
    left: Node
    right: Node

    def value(self, frame: Frame) -> Any:
        left = self.left.value(frame)
        right = self.right.value(frame)
        try:
            return apply(self.sign, left, right, frame)
        except FlawError as flaw:
            raise _with_place(flaw, self.at) from None

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.left, self.right)


def _with_place(flaw: FlawError, at: int) -> FlawError:
    if flaw.at < 0:
        flaw.at = at
    return flaw


class Several(Node, frozen=True):
    """`&&` (decided by the first false) or `||` (by the first true).

    As in CEL, what decides makes an error on its left harmless: the order of the parts does not matter.
    """

    decider: bool
    parts: tuple[Node, ...]

    def value(self, frame: Frame) -> Any:
        first: FlawError | None = None
        for part in self.parts:
            try:
                if truth(part, frame) is self.decider:
                    return self.decider
            except FlawError as flaw:
                if flaw.final:
                    raise
                first = first or flaw
        if first is not None:
            raise first
        return not self.decider

    @property
    def inner(self) -> tuple[Node, ...]:
        return self.parts


class Choice(Node, frozen=True):
    """`condition ? yes : no`; only one of them is looked at."""

    condition: Node
    yes: Node
    no: Node

    def value(self, frame: Frame) -> Any:
        return (self.yes if truth(self.condition, frame) else self.no).value(frame)

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.condition, self.yes, self.no)


def truth(node: Node, frame: Frame) -> bool:
    """The value of a part that must be true or false. Raises FlawError where it is something else."""
    value = node.value(frame)
    if type(value) is bool:
        return value
    shown = frame.written(node.at, node.end)
    raise FlawError(
        f"{shown} is {kind_of(value)}, where true or false is needed", "compare it with something", at=node.at
    )
