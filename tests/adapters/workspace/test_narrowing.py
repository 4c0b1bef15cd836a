"""The part of a tree that globs admit, and the way back into the whole one."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from tenuto.adapters.workspace.merge import RULE
from tenuto.adapters.workspace.trees import EMPTY_TREE, EXECUTABLE
from tenuto.core.merging import MergedTree, MergePlan, TreeToMerge

from .conftest import Files, Trees
from .test_patches import materialise

WHOLE: Files = {
    ".gitignore": b"*.log\nbuild/\n",
    "README.md": b"1\n2\n3\n4\n5\n",
    "docs/a.md": b"a",
    "docs/deep/b.md": b"b",
    "docs/deep/c.png": b"\0",
    "src/.tenutoignore": b"*.tmp\n",
    "src/main.py": (EXECUTABLE, b"main"),
}
ALWAYS = {".gitignore", "src/.tenutoignore"}


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ([], set()),
        (["docs/"], {"docs/a.md", "docs/deep/b.md", "docs/deep/c.png"}),
        (["*.md"], {"README.md", "docs/a.md", "docs/deep/b.md"}),
        (["/*.md"], {"README.md"}),
        (["docs/**/*.md", "!b.md"], {"docs/a.md"}),
        (["deep"], {"docs/deep/b.md", "docs/deep/c.png"}),
        (["**"], set(WHOLE)),
        (["nothing", "", "# docs/"], set()),
    ],
)
async def test_globs_admit_what_a_line_of_a_gitignore_file_would_name(
    trees: Trees, globs: Sequence[str], expected: set[str]
) -> None:
    tree = await trees.workspace.narrow(await trees.make(WHOLE), globs)
    assert await trees.show(tree) == {path: WHOLE[path] for path in sorted(expected | ALWAYS)}


async def test_narrowing_nothing_and_everything(trees: Trees) -> None:
    tree = await trees.make(WHOLE)
    assert await trees.workspace.narrow(tree, ["*"]) == tree
    assert await trees.workspace.narrow(EMPTY_TREE, ["*"]) == EMPTY_TREE
    assert await trees.workspace.narrow(await trees.make({"a": b""}), ["b"]) == EMPTY_TREE


NAMES = ["a", "b.log", "build", "x.py", "deep"]
PATTERNS = ["*.log", "build/", "/build", "deep/**", "**/x.py", "!b.log", "!x.py", "deep/a", "a/**/b.log", "[a-c]*"]


def ignored_by_git(top: Path, paths: Collection[str], globs: Sequence[str]) -> list[str]:
    """What `git ls-files --ignored` says of the paths, with the globs as its only rules."""
    materialise(top, dict.fromkeys(paths, b""))
    subprocess.run(["git", "init", "-q", "."], cwd=top, check=True)
    (top / ".git/globs").write_text("\n".join(globs))
    asked = ["git", "ls-files", "-z", "--others", "--ignored", "--exclude-from=.git/globs"]
    listed = subprocess.run(asked, cwd=top, capture_output=True, check=True).stdout.decode()
    return sorted(listed.split("\0")[:-1])


async def test_globs_admit_what_git_would_ignore_by_them(trees: Trees, tmp_path: Path) -> None:
    for seed in range(20):
        chance = random.Random(seed)
        paths = {"/".join(chance.choice(NAMES) for _ in range(chance.randrange(1, 5))) for _ in range(20)}
        paths = {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
        globs = chance.sample(PATTERNS, chance.randrange(1, 5))
        listed = await asyncio.to_thread(ignored_by_git, tmp_path / str(seed), paths, globs)
        tree = await trees.workspace.narrow(await trees.make(dict.fromkeys(paths, b"")), globs)
        assert [entry.path for entry in await trees.workspace.entries(tree)] == listed, f"seed {seed}"


async def widened(trees: Trees, globs: Sequence[str], made: Files) -> MergedTree:
    """What comes of a step that sees only what the globs admit, and ends with `made`."""
    whole = await trees.make(WHOLE)
    narrow = await trees.workspace.narrow(whole, globs)
    other = TreeToMerge(base=narrow, step="step", tree=await trees.make(made))
    return await trees.workspace.merge(MergePlan(step="before", tree=whole, others=(other,)))


async def test_a_merge_gives_the_part_that_was_asked_for_and_the_whole(trees: Trees) -> None:
    base, ours = await trees.make({"docs/a.md": b"a", "x": b"x"}), await trees.make({"docs/a.md": b"A", "x": b"x"})
    theirs = await trees.make({"docs/a.md": b"a", "docs/b.md": b"b", "x": b"X"})
    other = TreeToMerge(base=base, step="b", tree=theirs)
    both = await trees.workspace.merge(MergePlan(step="a", tree=ours, others=(other,), reads=("docs/",)))
    assert both == MergedTree(
        rule=RULE,
        tree=await trees.make({"docs/a.md": b"A", "docs/b.md": b"b"}),
        whole=await trees.make({"docs/a.md": b"A", "docs/b.md": b"b", "x": b"X"}),
    )
    alone = await trees.workspace.merge(MergePlan(step="a", tree=base, others=(), reads=("x",)))
    assert alone == MergedTree(rule=RULE, tree=await trees.make({"x": b"x"}), whole=base)


async def test_what_a_step_made_of_a_narrow_tree_comes_back_into_the_whole_one(trees: Trees) -> None:
    made = {path: WHOLE[path] for path in (*ALWAYS, "docs/a.md", "docs/deep/c.png")}
    made |= {"docs/a.md": b"A", "out/new.md": b"new"}
    back = await widened(trees, ["docs/"], made)
    expected = {**WHOLE, "docs/a.md": b"A", "out/new.md": b"new"}
    del expected["docs/deep/b.md"]
    assert back == MergedTree(rule=RULE, tree=await trees.make(expected))


async def test_a_file_written_where_the_step_could_not_see_one_is_a_conflict(trees: Trees) -> None:
    made = {**{path: WHOLE[path] for path in ALWAYS}, "README.md": b"written blindly"}
    back = await widened(trees, ["docs/none"], made)
    assert (back.tree, [(found.path, found.steps) for found in back.conflicts]) == (
        None,
        [("README.md", ("before", "step"))],
    )
    same = {**{path: WHOLE[path] for path in ALWAYS}, "README.md": WHOLE["README.md"]}
    assert (await widened(trees, ["docs/none"], same)).tree == await trees.make(WHOLE)


async def test_what_is_ignored_in_the_whole_tree_is_ignored_in_a_lent_narrow_one(trees: Trees) -> None:
    narrow = await trees.workspace.narrow(await trees.make(WHOLE), ["docs/a.md"])
    lent = await trees.workspace.directory(narrow, keep=["build/keep/"])
    materialise(
        lent.path, {"out.log": b"", "build/junk": b"", "build/keep/x": b"kept", "src/y.tmp": b"", "new": b"n"}
    )
    assert await trees.show(await lent.capture()) == {
        ".gitignore": WHOLE[".gitignore"],
        "build/keep/x": b"kept",
        "docs/a.md": b"a",
        "new": b"n",
        "src/.tenutoignore": WHOLE["src/.tenutoignore"],
    }
    await lent.close()
