"""Agents edit overlapping files in parallel: the merged tree is equal under any parallelism, and its own tests pass.

The small repository is that of examples/migrate. The real one is the package `email` of the interpreter's library
with its own test suite, where this interpreter comes with it. What the agents answer is told: each edits its place,
and ticks it in a file that all of them edit.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.testing.outside import CommandLine

EXAMPLE = Path(__file__).parents[2] / "examples" / "migrate"
LIBRARY = Path(sysconfig.get_path("stdlib"))
WIDTHS = ("1", "4", "16")
QUIET = "{} > /tmp/said 2>&1 || {{ cat /tmp/said; false; }}"
"""A suite says how long it took, and what a command says is part of a run's result: only a failure is shown."""
GIT = ("git", "-c", "user.name=proof", "-c", "user.email=proof@example.com")

pytestmark = pytest.mark.sandbox


def git(directory: Path, *words: str) -> str:
    return subprocess.run([*GIT, *words], cwd=directory, check=True, capture_output=True, text=True).stdout


def committed(repository: Path) -> Path:
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "start")
    return repository


def small(directory: Path) -> Path:
    return committed(shutil.copytree(EXAMPLE / "sample", directory / "small"))


def email_package(directory: Path) -> Path:
    """`email` with its test suite, as a repository of its own: 29 modules and over 1,600 tests."""
    tests = LIBRARY / "test"
    if not (tests / "test_email").is_dir():
        pytest.skip("this interpreter comes without its test suite")
    repository = directory / "email_package"
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LIBRARY / "email", repository / "email", ignore=unwanted)
    for name in ("test_email", "support"):
        shutil.copytree(tests / name, repository / "test" / name, ignore=unwanted)
    shutil.copy(tests / "__init__.py", repository / "test")
    return committed(repository)


def told(places: list[dict[str, Any]]) -> dict[str, Any]:
    """A script in which every agent edits its place by a patch, ticks it, and says so."""
    replies: list[dict[str, Any]] = []
    for place in places:
        first = place["line"]
        old, new = (text.split("\n") for text in (place["text"], place["forms"][0]))
        lines = [f"--- a/{place['path']}", f"+++ b/{place['path']}", f"@@ -{first},{len(old)} +{first},{len(new)} @@"]
        patch = "\n".join([*lines, *(f"-{line}" for line in old), *(f"+{line}" for line in new), ""])
        tick = {"path": "MIGRATION.md", "old": f"- [ ] {place['key']}\n", "new": f"- [x] {place['key']}\n"}
        calls = [{"name": "apply_patch", "arguments": {"patch": patch}}, {"name": "edit_file", "arguments": tick}]
        where = {"step": "edit*", "ordinal": 0, "contains": f"`- [ ] {place['key']}`"}
        replies.append({"when": where, "tool_calls": calls})
    replies.append({"when": {"step": "edit*"}, "json": {"edited": True, "note": "done"}})
    return {"replies": replies}


@pytest.mark.parametrize(
    ("make", "old", "new", "suite"),
    [
        (small, "fmt", "format_amount", "python -m unittest -q"),
        pytest.param(
            email_package,
            "get_content_maintype",
            "content_maintype",
            "python -m unittest -q test.test_email",
            marks=[pytest.mark.battery, pytest.mark.timeout(900)],
        ),
    ],
    ids=["small", "email"],
)
def test_agents_edit_the_same_files_at_once(
    make: Callable[[Path], Path], old: str, new: str, suite: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    repository = make(tmp_path)
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("sample", "__pycache__", ".tenuto"))
    agent = project / "agents" / "migrator.md"
    agent.write_text(agent.read_text().replace("tools: Read, Grep, Edit", "tools: Read, Grep, Edit, apply_patch"))
    tenuto = CommandLine(tmp_path / "store", directory=project, timeout_s=300)
    words = ["by_agent.plan.yaml", "--repo", str(repository)]
    words += [
        word for pair in (f"old={old}", f"new={new}", f"test={QUIET.format(suite)}") for word in ("--input", pair)
    ]

    # The places come from a run of its own, whose agents do nothing: nothing is renamed, so the suite passes.
    looked = tenuto.call("run", *words, "--run", "looked", "--model", "mock:")
    assert looked.data["outputs"]["tests"] == "passed at once", looked
    places = tenuto.call("show", "looked", "find").data["output"]
    paths = [place["path"] for place in places]
    assert max(paths.count(path) for path in paths) > 1, "several agents edit one file"
    (project / "answers.yaml").write_text(json.dumps(told(places)))

    runs = {}
    for width in WIDTHS:
        ran = tenuto.call("run", *words, "--run", f"w{width}", "--seed", "s", "--max-parallel", width)
        assert ran.exit == 0, ran
        assert ran.data["outputs"] == {"edited": len(places), "places": len(places), "tests": "passed at once"}
        runs[width] = ran
        assert tenuto.call("replay", f"w{width}").data["identical"]
    assert len({ran.data["tree_digest"] for ran in runs.values()}) == 1
    assert len({ran.data["result_digest"] for ran in runs.values()}) == 1

    before = git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")
    applied = tenuto.call("apply", "w16", "--branch", "migrated")
    assert applied.exit == 0, applied
    assert (git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")) == before
    changed = set(git(repository, "diff", "--name-only", "main", "migrated").split())
    assert changed == {*paths, "MIGRATION.md"}
    page = git(repository, "show", "migrated:MIGRATION.md")
    assert page.count("- [x] ") == len(places)
    assert "- [ ] " not in page
    seconds = ", ".join(f"{width}: {ran.seconds:.1f} s" for width, ran in runs.items())
    figure(f"{len(places)} agents edit {len(set(paths))} files of {repository.name} at once, by width {seconds}")
