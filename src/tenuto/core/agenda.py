"""A persistent priority queue: what is due in plan order, what waits in order of arrival.

A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) of immutable nodes: push is O(1), pop O(log n) amortised,
and an old version stays valid, which gives the pending state its rollback.
"""

from __future__ import annotations

import msgspec

__all__ = ["EMPTY", "Agenda", "Order", "pop", "push"]

Order = tuple[int, ...]
"""Place in plan order: declaration index, then child index, and so on down."""


class Agenda(msgspec.Struct, frozen=True, gc=False):
    """A node: the least order of its subtree, its label, and the heaps below it as a linked list."""

    order: Order
    label: str
    below: Below


Below = tuple[Agenda, "Below"] | None

EMPTY: Agenda | None = None


def push(agenda: Agenda | None, order: Order, label: str) -> Agenda:
    node = Agenda(order, label, None)
    return node if agenda is None else _meld(agenda, node)


def pop(agenda: Agenda) -> Agenda | None:
    """The queue without its least element."""
    pairs: list[Agenda] = []
    below = agenda.below
    while below is not None:
        first, below = below
        if below is not None:
            second, below = below
            first = _meld(first, second)
        pairs.append(first)
    if not pairs:
        return None
    heap = pairs.pop()
    while pairs:
        heap = _meld(heap, pairs.pop())
    return heap


def _meld(a: Agenda, b: Agenda) -> Agenda:
    if b.order < a.order:
        a, b = b, a
    return Agenda(a.order, a.label, (b, a.below))
