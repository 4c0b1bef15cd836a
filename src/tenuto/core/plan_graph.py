"""Who needs whom: names, ancestors and circles of a plan's steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenuto.core.plan import Step

__all__ = ["PlanGraph"]


@dataclass(frozen=True, slots=True)
class PlanGraph:
    """Dependencies of steps. Names that steps need but the plan lacks are left out.

    `cycle` names the steps of one circle, its first one again at the end; empty where there is none.
    """

    cycle: tuple[str, ...]
    names: tuple[str, ...]
    _ancestors: dict[str, int]
    _index: dict[str, int]

    @classmethod
    def of(cls, steps: Sequence[Step]) -> PlanGraph:
        """Work out the graph; takes time linear in steps and needs, and a bit for each pair of steps."""
        index: dict[str, int] = {}
        needs: dict[str, tuple[str, ...]] = {}
        for step in steps:
            index.setdefault(step.name, len(index))
            needs.setdefault(step.name, step.needs)
        known = {name: tuple(n for n in wanted if n in index and n != name) for name, wanted in needs.items()}
        ancestors = _ancestors(known, index)
        return cls(_cycle(known, ancestors), tuple(index), ancestors, index)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def is_ancestor(self, name: str, of: str) -> bool:
        """Whether `of` needs `name`, directly or through others. True where a circle leaves it open."""
        mask = self._ancestors.get(of)
        return mask is None or bool(mask >> self._index[name] & 1)


def _ancestors(needs: dict[str, tuple[str, ...]], index: dict[str, int]) -> dict[str, int]:
    """For each step not behind a circle, its ancestors as a bit set (Kahn's order)."""
    missing = {name: len(set(wanted)) for name, wanted in needs.items()}
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, wanted in needs.items():
        for need in dict.fromkeys(wanted):
            dependents[need].append(name)
    ready = [name for name, count in missing.items() if count == 0]
    masks: dict[str, int] = {}
    for name in ready:
        mask = 0
        for need in needs[name]:
            mask |= masks[need] | 1 << index[need]
        masks[name] = mask
        for dependent in dependents[name]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                ready.append(dependent)
    return masks


def _cycle(needs: dict[str, tuple[str, ...]], ordered: dict[str, int]) -> tuple[str, ...]:
    """One circle among the steps that no order reaches: walk along needs that are not in order either."""
    start = next((name for name in needs if name not in ordered), None)
    if start is None:
        return ()
    seen: dict[str, int] = {}
    walk: list[str] = []
    name = start
    while name not in seen:
        seen[name] = len(walk)
        walk.append(name)
        name = next(need for need in needs[name] if need not in ordered)
    circle = walk[seen[name] :]
    return (*circle, circle[0])
