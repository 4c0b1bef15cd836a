"""Which tree a step starts from: merging the trees of what it needs, in plan order, on the right bases.

The base of two branches is the tree of their common plan ancestors, by the same rule. Trees that are equal, or equal
to their base, need no merge, and then nothing is asked of the shell.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tenuto.core.containers import last_iteration
from tenuto.core.ids import Digest, StepPath, child_path, member_path
from tenuto.core.merging import MergePlan, MergePolicy, TreeToMerge
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState, StepState

__all__ = ["below_tree", "child_trees", "ends_tree", "joined_tree", "lane_trees", "needs_tree", "widened_tree"]

_OLDER = MergePolicy(kind="older")


def needs_tree(state: ExecutionState, step: StepState) -> Digest | MergePlan:
    """The tree where the steps that this one needs meet, or how it must be merged; and narrowed, where it `reads`."""
    spec = state.spec_of(step)
    declared = spec.step(step.name).step
    joined = joined_tree(state, step.block, [spec.index[need] for need in declared.needs], declared.merge)
    if not declared.reads:
        return joined
    if isinstance(joined, MergePlan):
        return replace(joined, reads=declared.reads)
    return MergePlan(others=(), reads=declared.reads, step=step.name, tree=joined)


def ends_tree(state: ExecutionState, block: StepPath) -> Digest | MergePlan:
    """The tree where the last steps of a plan meet, or how it must be merged."""
    spec = state.block_spec(block)
    return joined_tree(state, block, spec.ends, spec.plan.merge)


def below_tree(state: ExecutionState, step: StepState) -> Digest | MergePlan:
    """The tree where the steps below this one meet, or how it must be merged."""
    if step.expansion is not None:
        return child_trees(state, step)
    if step.loop is not None:
        return last_iteration(state, step).out_tree or state.start_tree(step)
    return ends_tree(state, step.path)


def widened_tree(state: ExecutionState, step: StepState) -> Digest | MergePlan:
    """What a step that saw a part of a tree makes of the whole of it."""
    below = step.expansion is not None or step.loop is not None or step.path in state.blocks
    own = step.joined or (below_tree(state, step) if below else step.out_tree)
    if step.whole is None or own is None or step.tree is None or isinstance(own, MergePlan):
        raise AssertionError(f"{step.path} has no part of a tree to put back")
    if own == step.tree:
        return step.whole
    changed = TreeToMerge(base=step.tree, step=step.path, tree=own)
    return MergePlan(others=(changed,), step=f"before {step.path}", tree=step.whole)


def joined_tree(
    state: ExecutionState, block: StepPath, steps: Sequence[int], policy: MergePolicy
) -> Digest | MergePlan:
    """The tree where these steps of a block (plan indices) meet, or how it must be merged."""
    if not steps:
        return state.blocks[block].tree
    trees = _Trees(state, block, state.block_spec(block))
    alike = trees.of(steps[0])
    if all(trees.of(i) == alike for i in steps[1:]):
        return alike
    ancestors = trees.spec.ancestors
    first: int | None = None
    folded = 0
    others: list[TreeToMerge] = []
    for i in sorted(set(steps)):
        if first is None:
            first, folded = i, ancestors[i] | (1 << i)
            continue
        closure = ancestors[i] | (1 << i)
        tree = trees.of(i)
        if closure & ~folded:
            base = _base(trees, folded & closure, ancestors[i], i)
            if tree != base and not (not others and tree == trees.of(first)):
                others.append(TreeToMerge(base=base, step=trees.name(i), tree=tree))
        folded |= closure
    if first is None:
        return state.blocks[block].tree
    start = trees.of(first)
    if not others:
        return start
    if len(others) == 1 and others[0].base == start:
        return others[0].tree
    return MergePlan(others=tuple(others), policy=policy, step=trees.name(first), tree=start)


class _Trees(msgspec.Struct, frozen=True, gc=False):
    """The trees of a block's members by their place in its plan."""

    state: ExecutionState
    block: StepPath
    spec: RunSpec

    def name(self, index: int) -> str:
        return self.spec.plan.steps[index].name

    def started_from(self, index: int) -> Digest | None:
        step = self.state.steps[member_path(self.block, self.name(index))]
        return step.tree if step.whole is None else step.whole

    def of(self, index: int) -> Digest:
        """A step's output tree, or the tree its plan starts from where it has none yet."""
        tree = self.state.steps[member_path(self.block, self.name(index))].out_tree
        return self.state.blocks[self.block].tree if tree is None else tree


def _base(trees: _Trees, common: int, ancestors: int, index: int) -> Digest | MergePlan:
    """The tree of a set of common ancestors: that of its last members, merged where there are several.

    Where these are all the ancestors of the step that is folded in, it is the tree that step started from: merged
    already, and so many layers of a plan do not nest into one another's bases.
    """
    started_from = trees.started_from(index)
    if common == ancestors and started_from is not None:
        return started_from
    covered = 0
    last: list[int] = []
    for i in _bits_down(common):
        if not covered >> i & 1:
            last.append(i)
        covered |= trees.spec.ancestors[i]
    last = [i for i in last if not covered >> i & 1]
    return joined_tree(trees.state, trees.block, last, _OLDER)


def _bits_down(bits: int) -> list[int]:
    found: list[int] = []
    while bits:
        high = bits.bit_length() - 1
        found.append(high)
        bits ^= 1 << high
    return found


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
    start = step.tree or state.start_tree(step)
    trees: list[tuple[str, Digest]] = []
    for key in step.expansion.keys if step.expansion is not None else ():
        child = state.steps.get(child_path(step.path, key))
        if child is not None and child.out_tree is not None:
            trees.append((str(child.path), child.out_tree))
    return _branches(start, trees, state.compiled(step).step.merge)


def lane_trees(
    state: ExecutionState, step: StepState, start: Digest, trees: Sequence[tuple[str, Digest]]
) -> Digest | MergePlan:
    """Where the lanes of a gather meet again, in lane order."""
    return _branches(start, trees, state.compiled(step).step.merge)
