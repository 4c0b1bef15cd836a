"""Hostile path arguments: every file tool, every way of writing a path that leads out of the tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.tools.changing import DeleteFileTool, EditFileTool, MoveFileTool, WriteFileTool
from tenuto.adapters.tools.files import ReadFileTool
from tenuto.adapters.tools.listing import GlobTool, ListFilesTool
from tenuto.adapters.tools.patching import ApplyPatchTool
from tenuto.adapters.tools.searching import SearchFilesTool
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.ports.tools import Tool

Attempt = tuple[Tool, Callable[[str], dict[str, Any]]]

HOSTILE = [
    "{outside}/secret",
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "/dev/stdin",
    "../outside/secret",
    "../../outside/secret",
    "a/../../outside/secret",
    "a/b/../../../outside/secret",
    "./../outside/secret",
    ".//..//outside/secret",
    "a/./../../outside/secret",
    "..",
    "../",
    "a/..",
    "a/../..",
    "..\\outside\\secret",
    "a\\..\\..\\outside\\secret",
    "C:/outside/secret",
    "c:outside",
    "\\\\host\\share",
    "file:///etc/passwd/../../x\0",
    "~/secret",
    "~root/.ssh/id_rsa",
    "a\0/../../outside/secret",
    "one.txt\0.png",
    "link",
    "up/secret",
    "up/../secret",
    "root/etc/passwd",
    "root/{outside}/secret",
    "here/../link",
    "deep/up/secret",
    "deep/up/deep/up/secret",
    ".git/config",
    ".git/hooks/post-checkout",
    "a/.git/config",
    ".GIT/config",
    ".Git/HEAD",
    ".tenuto/journal.db",
    ".TENUTO/x",
    "a/.tenuto/x",
    "\ud800/x",
    "x" * 5_000,
    "/".join(["d"] * 3_000),
    "x" * 300 + "/y",
]
"""Not among them: `%2e%2e`, `..%2f`, full-width dots, `...`: names like any other, which lead nowhere."""

READING: dict[str, Attempt] = {
    "read_file": (ReadFileTool(), lambda path: {"path": path}),
    "list_files": (ListFilesTool(), lambda path: {"directory": path}),
    "glob": (GlobTool(), lambda path: {"pattern": "**", "directory": path}),
    "search_files": (SearchFilesTool(), lambda path: {"pattern": "SECRET", "directory": path}),
}
CHANGING: dict[str, Attempt] = {
    "write_file": (WriteFileTool(), lambda path: {"path": path, "content": "HOSTILE"}),
    "edit_file": (EditFileTool(), lambda path: {"path": path, "old": "SECRET", "new": "HOSTILE"}),
    "delete_file": (DeleteFileTool(), lambda path: {"path": path}),
    "move_file from": (MoveFileTool(), lambda path: {"source": path, "target": "taken"}),
    "move_file to": (MoveFileTool(), lambda path: {"source": "one.txt", "target": path, "replace": True}),
    "apply_patch": (
        ApplyPatchTool(),
        lambda path: {"patch": f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-SECRET\n+HOSTILE\n"},
    ),
    "apply_patch, new": (
        ApplyPatchTool(),
        lambda path: {"patch": f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+X\n"},
    ),
    "apply_patch, moved": (
        ApplyPatchTool(),
        lambda path: {
            "patch": f"*** Begin Patch\n*** Update File: one.txt\n*** Move to: {path}\n-one\n+X\n*** End Patch"
        },
    ),
    "apply_patch, deleted": (
        ApplyPatchTool(),
        lambda path: {"patch": f"*** Begin Patch\n*** Delete File: {path}\n*** End Patch"},
    ),
}


def held(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


@pytest.fixture
async def linked(context: Any, tmp_path: Path) -> Path:
    """A tree with links that lead out of it, beside a directory with a secret."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("SECRET\n")
    start = tmp_path / "linked"
    (start / "a" / "b").mkdir(parents=True)
    (start / "deep").mkdir()
    (start / "one.txt").write_text("one\n")
    (start / "a" / "b" / "two.txt").write_text("two\n")
    for name, target in {
        "link": outside / "secret",
        "up": Path("../outside"),
        "root": Path("/"),
        "here": Path("."),
        "deep/up": outside,
    }.items():
        os.symlink(target, start / name)
    workspace: TreeWorkspace = context.workspace
    context.files = await workspace.edit(await workspace.capture(start))
    return outside


def test_there_are_hundreds_of_attempts() -> None:
    assert len(set(HOSTILE)) * (len(READING) + len(CHANGING)) >= 500


@pytest.mark.parametrize("name", [*READING, *CHANGING])
async def test_no_tool_leaves_the_tree(name: str, call: Any, context: Any, linked: Path) -> None:
    tool, arguments = (READING | CHANGING)[name]
    before = await context.files.entries()
    for hostile in HOSTILE:
        path = hostile.replace("{outside}", str(linked))
        try:
            status, value = await call(tool, **arguments(path))
        except ValueError:
            assert "\ud800" in path  # no JSON: nobody can send it
            continue
        if name == "delete_file" and path == "link":
            # A link belongs to the tree: it may be deleted, and what it leads to stays.
            assert status == "ok"
            context.files = await context.workspace.edit(await context.files.commit())
            before = [entry for entry in before if entry.path != "link"]
            continue
        assert status == "error", (path[:60], value)
        assert "SECRET" not in str(value), path[:60]
        assert await context.files.entries() == before, path[:60]
    assert held(linked) == {"secret": "SECRET\n"}


async def test_a_directory_made_of_such_a_tree_leads_nowhere_either(context: Any, linked: Path) -> None:
    """Links are written as links: what a tree is written to follows none."""
    directory = await context.directory()
    assert (directory.path / "link").is_symlink()
    assert await directory.capture() == await context.files.commit()
    assert held(linked) == {"secret": "SECRET\n"}
