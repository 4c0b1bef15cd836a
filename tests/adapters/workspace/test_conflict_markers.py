"""What an agent gets of a conflict: the versions, a tree with markers, and who still has to be done."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tenuto.adapters.workspace.lines import split_lines
from tenuto.adapters.workspace.marking import mark_conflict
from tenuto.adapters.workspace.merge import RULE
from tenuto.adapters.workspace.texts import Region, Side, Versions, merge_lines
from tenuto.adapters.workspace.trees import EXECUTABLE, SYMLINK
from tenuto.core.merging import MergeConflict, MergedTree, MergePlan, MergePolicy, TreeToMerge

from .conftest import Files, Trees

AGENT = MergePolicy(agent="resolver", kind="agent")


async def merged(trees: Trees, base: Files, *sides: tuple[str, Files], policy: MergePolicy = AGENT) -> MergedTree:
    start = await trees.make(base)
    (step, first), *rest = [(step, await trees.make(files)) for step, files in sides]
    others = tuple(TreeToMerge(base=start, step=name, tree=tree) for name, tree in rest)
    return await trees.workspace.merge(MergePlan(step=step, tree=first, others=others, policy=policy))


async def marked(trees: Trees, outcome: MergedTree) -> dict[str, bytes | tuple[str, bytes]]:
    assert outcome.tree is None
    assert outcome.marked is not None
    return await trees.show(outcome.marked)


BASE: Files = {"f": b"1\n2\n3\n4\n5\n6\n7\n", "g": b"same"}
A: Files = {"f": b"1\nA\n3\n4\n5\n6\n7\n", "g": b"same", "a": b"a"}
B: Files = {"f": b"1\nB\n3\n4\n5\n6\n7b\n", "g": b"same", "b": b"b"}
C: Files = {"f": b"1\n2\n3\n4c\n5\n6\n7\n", "g": b"same"}
D: Files = {"f": b"1\nD\n3\n4\n5\n6\n7\n", "g": b"same"}


async def test_a_conflict_comes_with_its_versions_and_a_tree_to_resolve_it_in(trees: Trees) -> None:
    outcome = await merged(trees, BASE, ("a", A), ("patch[b]", B))
    (conflict,) = outcome.conflicts
    assert (conflict.path, conflict.reason, conflict.steps) == ("f", "text", ("a", "patch[b]"))
    held = trees.blobs.held
    assert [held[side] for side in (conflict.base, conflict.ours, conflict.theirs) if side is not None] == [
        BASE["f"],
        A["f"],
        B["f"],
    ]
    assert await marked(trees, outcome) == {
        "a": b"a",
        "b": b"b",
        "f": b"1\n<<<<<<< a\nA\n||||||| base\n2\n=======\nB\n>>>>>>> patch[b]\n3\n4\n5\n6\n7b\n",
        "g": b"same",
    }


async def test_other_policies_give_no_tree_with_markers(trees: Trees) -> None:
    for policy in (MergePolicy(), MergePolicy(kind="prefer", prefer="nobody")):
        outcome = await merged(trees, BASE, ("a", A), ("b", B), policy=policy)
        assert outcome == MergedTree(rule=RULE, conflicts=(MergeConflict(path="f", steps=("a", "b")),))
    quiet = await merged(trees, BASE, ("a", A), ("c", C))
    assert (quiet.conflicts, quiet.marked) == ((), None)
    assert quiet.tree is not None


async def test_a_third_tree_gets_around_a_marked_conflict_and_never_into_it(trees: Trees) -> None:
    around = await merged(trees, BASE, ("a", A), ("b", B), ("c", C))
    first = b"<<<<<<< a\nA\n||||||| base\n2\n=======\nB\n>>>>>>> b\n"
    assert (await marked(trees, around))["f"] == b"1\n" + first + b"3\n4c\n5\n6\n7b\n"
    same_place = await merged(trees, BASE, ("a", A), ("b", B), ("d", D))
    nested = b"<<<<<<<< b\n" + first + b"|||||||| base\n2\n========\nD\n>>>>>>>> d\n"
    assert (await marked(trees, same_place))["f"] == b"1\n" + nested + b"3\n4\n5\n6\n7b\n"
    assert [conflict.steps for conflict in same_place.conflicts] == [("a", "b"), ("b", "d")]


OTHERS: dict[str, tuple[Files, Files, Files, Files]] = {
    "binary": ({"f": b"\0"}, {"f": b"\0a"}, {"f": b"\0b"}, {"f": b"\0a"}),
    "deleted here": ({"f": b"1"}, {}, {"f": b"2"}, {"f": b"2"}),
    "deleted there": ({"f": b"1"}, {"f": b"2"}, {}, {"f": b"2"}),
    "symlink": ({}, {"f": (SYMLINK, b"x")}, {"f": (SYMLINK, b"y")}, {"f": (SYMLINK, b"x")}),
    "mode": ({}, {"f": b"1"}, {"f": (EXECUTABLE, b"1")}, {"f": b"1"}),
    "directory": ({}, {"f": b"1"}, {"f/x": b"2"}, {"f": b"1"}),
    "new": ({}, {"f": b"1\n"}, {"f": b"2"}, {"f": b"<<<<<<< a\n1\n||||||| base\n=======\n2\n>>>>>>> b\n"}),
}


@pytest.mark.parametrize("case", OTHERS)
async def test_what_has_no_lines_to_mark_stands_as_it_is(trees: Trees, case: str) -> None:
    base, ours, theirs, expected = OTHERS[case]
    outcome = await merged(trees, base, ("a", ours), ("b", theirs))
    assert await marked(trees, outcome) == expected
    (conflict,) = outcome.conflicts
    wanted = [base.get("f"), ours.get("f"), theirs.get("f")]
    for digest, body in zip((conflict.base, conflict.ours, conflict.theirs), wanted, strict=True):
        assert (None if digest is None else trees.blobs.held[digest]) == (
            body[1] if isinstance(body, tuple) else body
        )


async def test_the_files_that_still_hold_markers_are_named(trees: Trees) -> None:
    base = {**BASE, "doc.md": b"<<<<<<< HEAD\nas git writes it\n>>>>>>> topic\n"}
    outcome = await merged(trees, base, ("a", {**base, **A}), ("b", {**base, **B}))
    assert outcome.marked is not None
    assert await trees.workspace.unresolved(outcome.marked, outcome) == ["f"]

    async def left(files: Files) -> list[str]:
        assert outcome.marked is not None
        edit = await trees.workspace.edit(outcome.marked)
        for path, body in files.items():
            assert isinstance(body, bytes)
            await edit.write(path, body)
        return list(await trees.workspace.unresolved(await edit.commit(), outcome))

    assert await left({"f": b"1\nA and B\n3\n"}) == []
    assert await left({"f": b"1\nA and B\n=======\n>>>>>>> b \r\n"}) == ["f"]
    assert await left({"f": b"<<<<<<< HEAD\n", "doc.md": b"<<<<<<< HEAD\nchanged\n"}) == []
    assert await left({"f": b"done", "moved": b"<<<<<<< a\n"}) == ["moved"]


def test_lines_end_as_in_the_file() -> None:
    marks = mark_conflict(Versions([b"x\r\n"], [b"y"], []), "a", "b")
    assert marks == b"<<<<<<< a\r\ny\r\n||||||| base\r\nx\r\n=======\r\n>>>>>>> b\r\n"
    mixed = mark_conflict(Versions([b"x\n"], [b"y\r\n"], []), "a", "b")
    assert mixed == b"<<<<<<< a\ny\r\n||||||| base\nx\n=======\n>>>>>>> b\n"


def texts_with_conflicts(chance: random.Random) -> tuple[bytes, bytes, bytes]:
    """Edits anywhere, adjacent or at the same place."""
    base = [b"line %d\n" % chance.randrange(1_000_000) for _ in range(chance.randrange(0, 25))]
    sides = []
    for _ in range(2):
        text = list(base)
        for _ in range(chance.randrange(1, 5)):
            spot = chance.randrange(len(text) + 1)
            text[spot : spot + chance.randrange(3)] = [b"new %d\n" % chance.randrange(5)] * chance.randrange(3)
        sides.append(b"".join(text))
    return b"".join(base), sides[0], sides[1]


def by_git(directory: Path, base: bytes, ours: bytes, theirs: bytes) -> bytes:
    for name, body in (("base", base), ("ours", ours), ("theirs", theirs)):
        (directory / name).write_bytes(body)
    labels = ["-L", "a", "-L", "base", "-L", "b"]
    done = subprocess.run(
        ["git", "merge-file", "-p", "--diff3", *labels, "ours", "base", "theirs"],
        cwd=directory,
        capture_output=True,
        check=False,
    )
    assert done.returncode < 128, done.stderr
    return done.stdout


def test_markers_stand_where_git_puts_them(tmp_path: Path) -> None:
    def undecided(_: Region) -> Side | None:
        return None

    def mark(_: Region, versions: Versions) -> bytes:
        return mark_conflict(versions, "a", "b")

    conflicts = 0
    for seed in range(150):
        base, ours, theirs = texts_with_conflicts(random.Random(seed))
        lines, found = merge_lines(split_lines(base), split_lines(ours), split_lines(theirs), undecided, mark)
        assert lines is not None
        assert b"".join(lines) == by_git(tmp_path, base, ours, theirs), f"seed {seed}"
        conflicts += bool(found)
    assert conflicts > 50
