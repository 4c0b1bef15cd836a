"""Merges of whole trees: what meets without a clash, and what each policy makes of one."""

from __future__ import annotations

import asyncio
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.workspace.merge import RULE
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE, EXECUTABLE, SYMLINK
from tenuto.core.ids import Digest
from tenuto.core.merging import MergeConflict, MergedTree, MergePlan, MergePolicy, TreeToMerge

from .conftest import Files, Trees


async def merged(
    trees: Trees, base: Files, ours: Files, theirs: Files, policy: MergePolicy | None = None
) -> MergedTree:
    other = TreeToMerge(base=await trees.make(base), step="b", tree=await trees.make(theirs))
    plan = MergePlan(step="a", tree=await trees.make(ours), others=(other,), policy=policy or MergePolicy())
    return await trees.workspace.merge(plan)


async def test_three_branches_of_the_worked_journal(trees: Trees) -> None:
    """examples.md, 3: a, b and c from T0; a and c both write log.md; the join prefers a."""
    start = await trees.make({"gen.py": b"..."})
    ends = {
        "a": await trees.make({"gen.py": b"...", "a.md": b"a", "log.md": b"made by a\n"}),
        "b": await trees.make({"gen.py": b"...", "b.md": b"b"}),
        "c": await trees.make({"gen.py": b"...", "c.md": b"c", "log.md": b"made by c\n"}),
    }
    others = tuple(TreeToMerge(base=start, step=step, tree=ends[step]) for step in ("b", "c"))

    async def join(policy: MergePolicy) -> MergedTree:
        return await trees.workspace.merge(MergePlan(step="a", tree=ends["a"], others=others, policy=policy))

    taken = await join(MergePolicy(kind="prefer", prefer="a"))
    assert taken.conflicts == (MergeConflict(path="log.md", steps=("a", "c"), taken="a"),)
    assert taken.tree is not None
    assert await trees.show(taken.tree) == {
        "a.md": b"a", "b.md": b"b", "c.md": b"c", "gen.py": b"...", "log.md": b"made by a\n"
    }  # fmt: skip
    for policy in (MergePolicy(), MergePolicy(kind="prefer", prefer="b")):
        refused = await join(policy)
        assert (refused.tree, [conflict.steps for conflict in refused.conflicts]) == (None, [("a", "c")])


CLASHES: dict[str, tuple[Files, Files, Files]] = {
    "deleted": ({"f": b"1"}, {}, {"f": b"2"}),
    "symlink": ({"f": (SYMLINK, b"x")}, {"f": (SYMLINK, b"y")}, {"f": (SYMLINK, b"z")}),
    "binary": ({"f": b"\0"}, {"f": b"\0a"}, {"f": b"\0b"}),
    "mode": ({}, {"f": b"1"}, {"f": (EXECUTABLE, b"1")}),
    "directory": ({}, {"f": b"1"}, {"f/inner": b"2"}),
    "text": ({"f": b"1\n"}, {"f": b"2\n"}, {"f": b"3\n"}),
}


@pytest.mark.parametrize("reason", CLASHES)
async def test_a_clash_is_named_and_each_policy_takes_its_side(trees: Trees, reason: str) -> None:
    base, ours, theirs = CLASHES[reason]
    refused = await merged(trees, base, ours, theirs)
    assert refused == MergedTree(rule=RULE, conflicts=(MergeConflict(path="f", reason=reason, steps=("a", "b")),))
    for step, side in (("a", ours), ("b", theirs)):
        taken = await merged(trees, base, ours, theirs, MergePolicy(kind="prefer", prefer=step))
        assert taken.tree == await trees.make(side)
        assert [conflict.taken for conflict in taken.conflicts] == [step]
    older = await merged(trees, base, ours, theirs, MergePolicy(kind="older"))
    assert older.tree == await trees.make(base)


QUIET: dict[str, tuple[Files, Files, Files, Files]] = {
    "both delete": ({"f": b"1", "g": b""}, {"g": b""}, {"g": b""}, {"g": b""}),
    "both change alike": ({"f": b"1"}, {"f": b"2"}, {"f": b"2"}, {"f": b"2"}),
    "mode and body": ({"f": b"1"}, {"f": (EXECUTABLE, b"1")}, {"f": b"2"}, {"f": (EXECUTABLE, b"2")}),
    "lines apart": (
        {"f": b"1\n2\n3\n4\n5\n"},
        {"f": b"a\n2\n3\n4\n5\n"},
        {"f": b"1\n2\n3\n4\nb\n"},
        {"f": b"a\n2\n3\n4\nb\n"},
    ),
    "file becomes a directory": ({"f": b"1"}, {"f": b"1", "g": b"2"}, {"f/x": b"3"}, {"f/x": b"3", "g": b"2"}),
    "both delete a file, one makes a directory there": ({"f": b"1"}, {}, {"f/x": b"3"}, {"f/x": b"3"}),
    "directory becomes a file": ({"f/x": b"1"}, {"f/x": b"1", "g": b"2"}, {"f": b"3"}, {"f": b"3", "g": b"2"}),
}


@pytest.mark.parametrize("case", QUIET)
async def test_what_meets_without_a_clash(trees: Trees, case: str) -> None:
    base, ours, theirs, expected = QUIET[case]
    for left, right in ((ours, theirs), (theirs, ours)):
        outcome = await merged(trees, base, left, right)
        assert outcome == MergedTree(rule=RULE, tree=await trees.make(expected))


async def test_a_base_that_conflicts_keeps_the_older_text(trees: Trees) -> None:
    start = await trees.make({"f": b"1\n"})
    one, two = await trees.make({"f": b"2\n"}), await trees.make({"f": b"3\n"})
    base = MergePlan(step="p", tree=one, others=(TreeToMerge(base=start, step="q", tree=two),))
    ours = await trees.make({"f": b"1\n"})
    theirs = await trees.make({"f": b"4\n"})
    outcome = await trees.workspace.merge(
        MergePlan(step="a", tree=ours, others=(TreeToMerge(base=base, step="b", tree=theirs),))
    )
    assert outcome == MergedTree(rule=RULE, tree=theirs)


SIDE = st.dictionaries(st.sampled_from(["p", "q", "d/r"]), st.sampled_from([b"1", b"2"]), min_size=1)


@given(st.tuples(SIDE, SIDE, SIDE))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_trees_that_do_not_clash_give_one_tree_in_any_order(
    trees: Trees, sides: tuple[dict[str, bytes], ...]
) -> None:
    start: dict[str, bytes] = {"base": b"0"}
    ends = [
        (f"s{n}", await trees.make({**start, **{f"{n}/{path}": body for path, body in side.items()}}))
        for n, side in enumerate(sides)
    ]
    base = await trees.make(start)
    outcomes = set()
    for (step, tree), *rest in permutations(ends):
        others = tuple(TreeToMerge(base=base, step=name, tree=end) for name, end in rest)
        outcome = await trees.workspace.merge(MergePlan(step=step, tree=tree, others=others))
        assert outcome.conflicts == ()
        outcomes.add(outcome.tree)
    assert len(outcomes) == 1


async def test_edits_and_merges_in_memory_touch_no_disk(tmp_path: Path) -> None:
    workspace = TreeWorkspace(InMemoryArtifactStore(), tmp_path / "pool")
    edit = await workspace.edit(EMPTY_TREE)
    await edit.write("f", b"1\n2\n3\n4\n5\n")
    base = await edit.commit()

    async def end(body: bytes) -> Digest:
        edit = await workspace.edit(base)
        await edit.write("f", body)
        return await edit.commit()

    ours, theirs = await end(b"a\n2\n3\n4\n5\n"), await end(b"1\n2\n3\n4\nb\n")
    plan = MergePlan(step="a", tree=ours, others=(TreeToMerge(base=base, step="b", tree=theirs),))
    tree = (await workspace.merge(plan)).tree
    assert tree is not None
    assert await (await workspace.edit(tree)).read("f") == b"a\n2\n3\n4\nb\n"
    assert (await workspace.patch(base, tree)).count(b"\n+") == 3
    await workspace.close()
    assert not await asyncio.to_thread((tmp_path / "pool").exists)
