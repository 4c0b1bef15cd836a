"""Merges of trees, held to git's own: equal where edits are not adjacent; where they differ the docs say how.

Each line of the table in `docs/workspaces.md` is a case here.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tenuto.adapters.workspace.texts import Region, Side, merge_texts
from tenuto.adapters.workspace.trees import EXECUTABLE, FILE, SYMLINK
from tenuto.core.merging import MergedTree, MergePlan, MergePolicy, TreeToMerge

from .conftest import Trees
from .git_merges import Case, Tree, a_case, clashing_case, files_of, merge_by_git, some_lines, tree_id


async def merged(trees: Trees, case: Case) -> MergedTree:
    base, ours, theirs = [await trees.make(dict(tree)) for tree in case]
    other = TreeToMerge(base=base, step="b", tree=theirs)
    return await trees.workspace.merge(MergePlan(step="a", tree=ours, others=(other,)))


async def files(trees: Trees, outcome: MergedTree) -> dict[str, tuple[str, bytes]]:
    assert outcome.tree is not None, outcome.conflicts
    entries = await trees.workspace.entries(outcome.tree)
    return {entry.path: (entry.mode, trees.blobs.held[entry.digest]) for entry in entries}


async def agree_with_git(trees: Trees, directory: Path, first: int, count: int) -> int:
    """How many of `count` seeded merges have the same tree, or are conflicts in both."""
    cases = [a_case(random.Random(seed)) for seed in range(first, first + count)]
    expected = await asyncio.to_thread(merge_by_git, directory, cases)
    for seed, (case, git) in enumerate(zip(cases, expected, strict=True), first):
        outcome = await merged(trees, case)
        assert git.clean, f"seed {seed}: {outcome.conflicts}"
        assert tree_id(await files(trees, outcome)) == git.tree, f"seed {seed}"
    return len(cases)


async def test_merges_of_edits_that_are_not_adjacent_have_gits_trees(trees: Trees, tmp_path: Path) -> None:
    assert await agree_with_git(trees, tmp_path / "git", 0, 150) == 150


@pytest.mark.battery
async def test_a_thousand_merges_have_gits_trees(trees: Trees, tmp_path: Path) -> None:
    assert await agree_with_git(trees, tmp_path / "git", 1_000, 1_000) == 1_000


async def agree_where_they_clash(trees: Trees, directory: Path, first: int, count: int) -> int:
    """Where git's merge is clean ours is, with its tree, and nowhere else. How many were conflicts."""
    cases = [clashing_case(random.Random(seed)) for seed in range(first, first + count)]
    conflicts = 0
    for seed, git in enumerate(await asyncio.to_thread(merge_by_git, directory, cases), first):
        case = cases[seed - first]
        outcome = await merged(trees, case)
        mirrored = await merged(trees, Case(case.base, case.theirs, case.ours))
        assert (outcome.tree is not None) == git.clean == (mirrored.tree is not None), f"seed {seed}"
        if git.clean:
            assert tree_id(await files(trees, outcome)) == git.tree, f"seed {seed}"
            assert mirrored.tree == outcome.tree, f"seed {seed}"
        conflicts += not git.clean
    return conflicts


async def test_files_links_and_directories_in_one_anothers_place(trees: Trees, tmp_path: Path) -> None:
    assert 10 < await agree_where_they_clash(trees, tmp_path / "git", 0, 120) < 100


@pytest.mark.battery
async def test_a_thousand_clashes_are_those_of_git(trees: Trees, tmp_path: Path) -> None:
    assert 100 < await agree_where_they_clash(trees, tmp_path / "git", 1_000, 1_000) < 900


async def test_every_policy_makes_a_sound_tree_of_every_clash(trees: Trees) -> None:
    for seed in range(200):
        case = clashing_case(random.Random(seed))
        base, ours, theirs = [await trees.make(dict(tree)) for tree in case]
        others = (TreeToMerge(base=base, step="b", tree=theirs),)
        for policy in (
            MergePolicy(kind="prefer", prefer="a"),
            MergePolicy(kind="prefer", prefer="b"),
            MergePolicy(kind="older"),
            MergePolicy(kind="agent", agent="resolver"),
        ):
            outcome = await trees.workspace.merge(MergePlan(step="a", tree=ours, others=others, policy=policy))
            tree = outcome.tree or outcome.marked
            assert tree is not None
            paths = {entry.path for entry in await trees.workspace.entries(tree)}
            assert not any(path.startswith(other + "/") for path in paths for other in paths), f"seed {seed}"


def text(*lines: str) -> tuple[str, bytes]:
    return FILE, "".join(f"{line}\n" for line in lines).encode()


LONG = text(*(f"line {number}" for number in range(20)))
EDITED = (FILE, LONG[1].replace(b"line 7\n", b"seven\n"))
LARGE = (FILE, b"a line of some length, again and again\n" * 450_000)
RUN = (EXECUTABLE, LONG[1])


class Difference(NamedTuple):
    """`git`: its merge is clean. `reason`: of our conflict; None = ours is clean, and its tree is git's if `same`."""

    base: Tree
    ours: Tree
    theirs: Tree
    git: bool
    reason: str | None
    same: bool = False


DOCUMENTED: dict[str, Difference] = {
    "adjacent lines": Difference(
        {"f": text("1", "2", "3", "4")},
        {"f": text("1", "a", "3", "4")},
        {"f": text("1", "2", "b", "4")},
        False,
        "text",
    ),
    "one line between": Difference(
        {"f": text("1", "2", "3", "4")},
        {"f": text("a", "2", "3", "4")},
        {"f": text("1", "2", "b", "4")},
        True,
        None,
        True,
    ),
    "mode and content": Difference({"f": LONG}, {"f": RUN}, {"f": EDITED}, True, None, True),
    "mode and deleted": Difference({"f": LONG}, {"f": RUN}, {}, False, "deleted"),
    "changed and deleted": Difference({"f": LONG}, {"f": EDITED}, {}, False, "deleted"),
    "added alike": Difference({}, {"f": LONG}, {"f": LONG}, True, None, True),
    "added alike, modes differ": Difference({}, {"f": LONG}, {"f": RUN}, False, "mode"),
    "added unlike": Difference({}, {"f": LONG}, {"f": EDITED}, False, "text"),
    "binary": Difference({"f": (FILE, b"\0")}, {"f": (FILE, b"\0a")}, {"f": (FILE, b"\0b")}, False, "binary"),
    "large": Difference(
        {"f": LARGE}, {"f": (FILE, LARGE[1] + b"x\n")}, {"f": (FILE, b"y\n" + LARGE[1])}, True, "large"
    ),
    "not UTF-8": Difference(
        {"f": (FILE, b"\xe4\n2\n3\n4\n")},
        {"f": (FILE, b"\xf6\n2\n3\n4\n")},
        {"f": (FILE, b"\xe4\n2\n3\nd\n")},
        True,
        None,
        True,
    ),
    "both links": Difference({}, {"f": (SYMLINK, b"x")}, {"f": (SYMLINK, b"y")}, False, "symlink"),
    "link and file": Difference({"f": LONG}, {"f": EDITED}, {"f": (SYMLINK, b"y")}, False, "symlink"),
    "file and directory": Difference({}, {"f": LONG}, {"f/x": LONG}, False, "directory"),
    "line ends changed": Difference(
        {"f": LONG}, {"f": EDITED}, {"f": (FILE, LONG[1].replace(b"\n", b"\r\n"))}, False, "text"
    ),
    "renamed and edited": Difference({"f": LONG}, {"g": LONG}, {"f": EDITED}, True, "deleted"),
    "renamed and edited by one": Difference({"f": LONG}, {"g": EDITED}, {"f": LONG}, True, None, True),
    "renamed by both": Difference({"f": LONG}, {"g": LONG}, {"h": LONG}, False, None, True),
    "directory renamed, file added": Difference(
        {"d/f": LONG, "d/g": text("g")},
        {"e/f": LONG, "e/g": text("g")},
        {"d/f": LONG, "d/g": text("g"), "d/n": text("n")},
        False,
        None,
    ),
    "repeated lines": Difference(
        {"f": text("1", "0", "2", "2")},
        {"f": text("0", "0", "2")},
        {"f": text("1", "0", "0", "2", "2")},
        True,
        "text",
    ),
    "repeated lines, the other way": Difference(
        {"f": text("3", "1", "3", "0")}, {"f": text("3", "1", "3")}, {"f": text("3", "0", "3", "0")}, False, None
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
async def test_what_the_docs_say_of_other_edits(trees: Trees, tmp_path: Path, name: str) -> None:
    case = DOCUMENTED[name]
    mirrored = Case(case.base, case.theirs, case.ours)
    straight = Case(case.base, case.ours, case.theirs)
    both = (straight, mirrored)
    for ours, git in zip(both, await asyncio.to_thread(merge_by_git, tmp_path / "git", both), strict=True):
        outcome = await merged(trees, ours)
        assert git.clean == case.git
        assert {conflict.reason for conflict in outcome.conflicts} == ({case.reason} if case.reason else set())
        if case.reason is None:
            assert (tree_id(await files(trees, outcome)) == git.tree) is case.same


def test_the_page_has_every_case() -> None:
    page = Path(__file__).parents[3] / "docs" / "workspaces.md"
    table = page.read_text("utf-8").split("\n| edits | ", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert [row.split("|")[1].strip() for row in table] == list(DOCUMENTED)


async def test_git_follows_a_rename_and_we_do_not(trees: Trees, tmp_path: Path) -> None:
    case = DOCUMENTED["renamed and edited"]
    (git,) = await asyncio.to_thread(merge_by_git, tmp_path / "git", [Case(*case[:3])])
    assert await asyncio.to_thread(files_of, tmp_path / "git", git.tree) == {"g": EDITED}
    both = DOCUMENTED["renamed by both"]
    assert await files(trees, await merged(trees, Case(*both[:3]))) == {"g": LONG, "h": LONG}
    moved = DOCUMENTED["directory renamed, file added"]
    assert set(await files(trees, await merged(trees, Case(*moved[:3])))) == {"d/n", "e/f", "e/g"}


def test_a_preferred_side_is_what_gits_own_option_takes(tmp_path: Path) -> None:
    """`prefer` against `git merge-file --ours` and `--theirs`, with edits anywhere."""
    conflicts = 0
    for seed in range(120):
        chance = random.Random(seed)
        base = some_lines(chance, chance.randrange(1, 25), b"\n")
        bodies = [b"".join(base)]
        for _ in range(2):
            lines = list(base)
            for _ in range(chance.randrange(1, 5)):
                at = chance.randrange(len(lines) + 1)
                lines[at : at + chance.randrange(3)] = some_lines(chance, chance.randrange(3), b"\n")
            bodies.append(b"".join(lines))
        for name, body in zip(("base", "ours", "theirs"), bodies, strict=True):
            (tmp_path / name).write_bytes(body)
        sides: tuple[Side, ...] = ("ours", "theirs")
        for side in sides:
            asked = ["git", "merge-file", "-p", f"--{side}", "ours", "base", "theirs"]
            done = subprocess.run(asked, cwd=tmp_path, capture_output=True, check=False)

            def take(_: Region, side: Side = side) -> Side:
                return side

            merged_text, found = merge_texts(bodies[0], bodies[1], bodies[2], take)
            assert merged_text == done.stdout, f"seed {seed}, {side}"
            conflicts += bool(found)
    assert conflicts > 50
