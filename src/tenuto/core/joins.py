"""Which tree a step starts from: merging the trees of what it needs, in plan order, on the right bases.

The base of two branches is the tree of their common plan ancestors, by the same rule. Trees that are equal, or equal
to their base, need no merge, and then nothing is asked of the shell.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.core.ids import Digest, StepPath
from tenuto.core.merging import MergePlan, MergePolicy, TreeToMerge
from tenuto.core.state import ExecutionState, StepState

__all__ = ["child_trees", "joined_tree", "lane_trees"]

_OLDER = MergePolicy(kind="older")


def joined_tree(state: ExecutionState, steps: Sequence[int], policy: MergePolicy) -> Digest | MergePlan:
    """The tree where these steps (plan indices) meet, or how it must be merged."""
    if not steps:
        return state.tree
    alike = _tree(state, steps[0])
    if all(_tree(state, i) == alike for i in steps[1:]):
        return alike
    ancestors = state.spec.ancestors
    first: int | None = None
    folded = 0
    others: list[TreeToMerge] = []
    for i in sorted(set(steps)):
        if first is None:
            first, folded = i, ancestors[i] | (1 << i)
            continue
        closure = ancestors[i] | (1 << i)
        tree = _tree(state, i)
        if closure & ~folded:
            base = _base(state, folded & closure, ancestors[i], i)
            if tree != base and not (not others and tree == _tree(state, first)):
                others.append(TreeToMerge(base=base, step=_name(state, i), tree=tree))
        folded |= closure
    if first is None:
        return state.tree
    start = _tree(state, first)
    if not others:
        return start
    if len(others) == 1 and others[0].base == start:
        return others[0].tree
    return MergePlan(others=tuple(others), policy=policy, step=_name(state, first), tree=start)


def _base(state: ExecutionState, common: int, ancestors: int, index: int) -> Digest | MergePlan:
    """The tree of a set of common ancestors: that of its last members, merged where there are several.

    Where these are all the ancestors of the step that is folded in, it is the tree that step started from: merged
    already, and so many layers of a plan do not nest into one another's bases.
    """
    started_from = state.steps[StepPath(_name(state, index))].tree
    if common == ancestors and started_from is not None:
        return started_from
    covered = 0
    last: list[int] = []
    for i in _bits_down(common):
        if not covered >> i & 1:
            last.append(i)
        covered |= state.spec.ancestors[i]
    last = [i for i in last if not covered >> i & 1]
    return joined_tree(state, last, _OLDER) if last else state.tree


def _bits_down(bits: int) -> list[int]:
    found: list[int] = []
    while bits:
        high = bits.bit_length() - 1
        found.append(high)
        bits ^= 1 << high
    return found


def _tree(state: ExecutionState, index: int) -> Digest:
    return state.steps[StepPath(_name(state, index))].out_tree or state.tree


def _name(state: ExecutionState, index: int) -> str:
    return state.spec.plan.steps[index].name


def _branches(start: Digest, trees: Sequence[tuple[str, Digest]], policy: MergePolicy) -> Digest | MergePlan:
    changed = [(name, tree) for name, tree in trees if tree != start]
    distinct = {tree for _, tree in changed}
    if len(distinct) <= 1:
        return changed[0][1] if changed else start
    name, tree = changed[0]
    others = tuple(TreeToMerge(base=start, step=n, tree=t) for n, t in changed[1:])
    return MergePlan(others=others, policy=policy, step=name, tree=tree)


def child_trees(state: ExecutionState, step: StepState) -> Digest | MergePlan:
    """Where the children of a `foreach` meet again."""
    start = step.tree or state.tree
    trees: list[tuple[str, Digest]] = []
    for key in step.expansion.keys if step.expansion is not None else ():
        child = state.steps.get(StepPath(f"{step.path}[{key}]"))
        if child is not None and child.out_tree is not None:
            trees.append((str(child.path), child.out_tree))
    return _branches(start, trees, state.spec.step(step.name).step.merge)


def lane_trees(
    state: ExecutionState, step: StepState, start: Digest, trees: Sequence[tuple[str, Digest]]
) -> Digest | MergePlan:
    """Where the lanes of a gather meet again, in lane order."""
    return _branches(start, trees, state.spec.step(step.name).step.merge)
