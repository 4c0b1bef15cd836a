"""The parts of an expression that read: paths into the scope, variables of macros, keys and items."""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenuto.core.expressions.cel.frames import Frame, as_read
from tenuto.core.expressions.cel.nodes import Node
from tenuto.core.expressions.errors import FlawError, Part
from tenuto.core.expressions.references import Reference, refuse_part
from tenuto.core.expressions.wording import kind_of

__all__ = ["Has", "Index", "Path", "Select", "Variable"]


class Path(Node, frozen=True):
    """What is read from the scope."""

    reference: Reference

    def value(self, frame: Frame) -> Any:
        try:
            return as_read(self.reference.find(frame.scope))
        except FlawError as flaw:
            flaw.at = self.at
            raise


class Variable(Node, frozen=True):
    """The item that a macro looks at."""

    slot: int

    def value(self, frame: Frame) -> Any:
        return frame.slots[self.slot]


class Select(Node, frozen=True):
    operand: Node
    name: str

    def value(self, frame: Frame) -> Any:
        return _part(self.operand.value(frame), self.operand, self.name, frame)

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.operand,)


class Index(Node, frozen=True):
    operand: Node
    index: Node

    def value(self, frame: Frame) -> Any:
        held = self.operand.value(frame)
        index = self.index.value(frame)
        if type(index) is not int and type(index) is not str:
            shown = frame.written(self.index.at, self.index.end)
            raise FlawError(
                f"{shown} is {kind_of(index)}, and picks nothing", "write a whole number or a key", at=self.index.at
            )
        return _part(held, self.operand, index, frame)

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.operand, self.index)


def _part(held: Any, operand: Node, part: Part, frame: Frame) -> Any:
    if isinstance(part, str):
        if isinstance(held, Mapping) and part in held:
            return as_read(held[part])
    elif isinstance(held, (list, tuple)) and 0 <= part < len(held):
        return as_read(held[part])
    try:
        refuse_part(held, _named(operand, frame), part)
    except FlawError as flaw:
        flaw.at = operand.at
        raise


def _named(node: Node, frame: Frame) -> str:
    return str(node.reference) if isinstance(node, Path) else frame.written(node.at, node.end)


class Has(Node, frozen=True):
    """Whether an object has a key."""

    operand: Node
    name: str

    def value(self, frame: Frame) -> Any:
        held = self.operand.value(frame)
        if isinstance(held, Mapping):
            return self.name in held
        shown = _named(self.operand, frame)
        raise FlawError(f"{shown} is {kind_of(held)}, and has no keys", f"compare {shown} first", at=self.at)

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.operand,)
