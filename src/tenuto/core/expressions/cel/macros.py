"""The macros that look at each item of a list, or at each key of an object in the order of its canonical form."""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenuto.core.expressions.cel.frames import Frame, as_read
from tenuto.core.expressions.cel.nodes import Node, truth
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import kind_of

__all__ = ["MACROS", "macro"]

MACROS = {"all": (2,), "exists": (2,), "exists_one": (2,), "filter": (2,), "map": (2, 3)}
"""The macros, and how many arguments each takes: the name of its variable first."""

_ERROR_COST = 20


class Macro(Node, frozen=True):
    """A loop over `items`; the item of a turn is in the frame's `slot`. A turn costs the `size` of its parts."""

    name: str
    items: Node
    slot: int
    size: int

    def turns(self, frame: Frame) -> Iterator[Any]:
        """The items, each put into its slot before it is given."""
        for item in self._held(frame):
            frame.spend(self.size)
            frame.slots[self.slot] = item = as_read(item)
            yield item

    def _held(self, frame: Frame) -> Any:
        held = self.items.value(frame)
        if isinstance(held, (list, tuple)):
            return held
        if isinstance(held, Mapping):
            frame.spend(len(held))
            return sorted(held, key=_order)
        shown = frame.written(self.items.at, self.items.end)
        raise FlawError(
            f"{self.name} looks at the items of a list, and {shown} is {kind_of(held)}",
            "write a list or an object before it",
            at=self.items.at,
        )


def _order(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


class Quantified(Macro, frozen=True):
    """`all` (decided by the first false) or `exists` (by the first true); an error counts unless one decides."""

    decider: bool
    condition: Node

    def value(self, frame: Frame) -> Any:
        first: FlawError | None = None
        for _ in self.turns(frame):
            try:
                if truth(self.condition, frame) is self.decider:
                    return self.decider
            except FlawError as flaw:
                if flaw.final:
                    raise
                frame.spend(_ERROR_COST)
                first = first or flaw
        if first is not None:
            raise first
        return not self.decider

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.items, self.condition)


class ExactlyOne(Macro, frozen=True):
    condition: Node

    def value(self, frame: Frame) -> Any:
        return sum(truth(self.condition, frame) for _ in self.turns(frame)) == 1

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.items, self.condition)


class Mapped(Macro, frozen=True):
    """`map`, and `filter`, which is a `map` of each item to itself; without a condition all items are taken."""

    condition: Node | None
    result: Node | None

    def value(self, frame: Frame) -> Any:
        return [
            item if self.result is None else self.result.value(frame)
            for item in self.turns(frame)
            if self.condition is None or truth(self.condition, frame)
        ]

    @property
    def inner(self) -> tuple[Node, ...]:
        return tuple(node for node in (self.items, self.condition, self.result) if node is not None)


def macro(name: str, at: int, end: int, items: Node, slot: int, size: int, bodies: list[Node]) -> Macro:
    """The node of a macro whose count of arguments is right."""
    match name:
        case "all" | "exists":
            return Quantified(at, end, name, items, slot, size, name == "exists", bodies[0])
        case "exists_one":
            return ExactlyOne(at, end, name, items, slot, size, bodies[0])
        case "filter":
            return Mapped(at, end, name, items, slot, size, bodies[0], None)
        case _:
            condition = bodies[0] if len(bodies) == 2 else None
            return Mapped(at, end, name, items, slot, size, condition, bodies[-1])
