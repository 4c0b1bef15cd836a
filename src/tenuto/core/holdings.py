"""What a run holds: the bodies and trees that its records name.

From the records alone, so every store that has the run comes to the same. A message whose text a record carries (a
reply, a result) is not among the bodies: it is there with that record, and stored nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tenuto.core.events import Event
from tenuto.core.events.call import MergeRequested, ModelCallRequested, TreesMerged
from tenuto.core.events.run import RunForked, RunStarted
from tenuto.core.ids import Digest
from tenuto.core.merging import MergePlan
from tenuto.core.records import bodies

__all__ = ["Holdings", "holdings_of"]


class Holdings(NamedTuple):
    """Bodies that the store has beside the records, and the roots of trees, whose files it has too."""

    bodies: frozenset[Digest]
    trees: frozenset[Digest]


def holdings_of(events: Iterable[Event]) -> Holdings:
    """What these events, in the form in which records carry them, name."""
    carried: set[Digest] = set()
    messages: set[Digest] = set()
    named: set[Digest] = set()
    trees: set[Digest] = set()
    for event in events:
        for _, content in bodies(event):
            (carried if content.at_hand else named).add(content.digest)
        if isinstance(event, ModelCallRequested):
            messages.update(part.digest for part in event.parts)
        named.update(_bodies(event))
        trees.update(_trees(event))
    return Holdings(frozenset(named | (messages - carried)), frozenset(trees))


def _bodies(event: Event) -> Iterator[Digest]:
    if isinstance(event, RunStarted):
        yield from (event.plan, event.registry, event.lock)
        if isinstance(event, RunForked):
            yield event.reuse
    elif isinstance(event, TreesMerged):
        for conflict in event.merged.conflicts:
            yield from (side for side in (conflict.base, conflict.ours, conflict.theirs) if side is not None)


def _trees(event: Event) -> Iterator[Digest]:
    tree = getattr(event, "tree", None)
    if tree is not None:
        yield Digest(tree)
    if isinstance(event, MergeRequested):
        yield from _merged_trees(event.plan)
        if event.settled is not None:
            yield event.settled
    elif isinstance(event, TreesMerged):
        merged = event.merged
        yield from (found for found in (merged.tree, merged.marked, merged.whole) if found is not None)


def _merged_trees(plan: MergePlan) -> Iterator[Digest]:
    yield plan.tree
    for other in plan.others:
        yield other.tree
        if isinstance(other.base, MergePlan):
            yield from _merged_trees(other.base)
        else:
            yield other.base
