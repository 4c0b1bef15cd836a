"""Directories lent to tools: what is in them, what is captured, and that nothing is carried over."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tenuto.adapters.workspace.pool import DirectoryPool
from tenuto.adapters.workspace.trees import EXECUTABLE, SYMLINK
from tenuto.errors import UsageError

from .conftest import Files, Trees
from .test_patches import found, materialise

FILES: Files = {
    ".gitignore": b"*.log\nvenv/\n",
    "a": b"a",
    "d/b": b"b",
    "link": (SYMLINK, b"a"),
    "tool": (EXECUTABLE, b"t"),
}


async def test_a_tool_finds_the_tree_and_its_changes_are_captured(trees: Trees) -> None:
    tree = await trees.make(FILES)
    lent = await trees.workspace.directory(tree, keep=["cache/*.log"])
    assert found(lent.path) == FILES
    assert await lent.capture() == tree
    shutil.rmtree(lent.path / "d")
    (lent.path / "a").write_bytes(b"A")
    (lent.path / "tool").chmod(0o644)
    materialise(lent.path, {"new/x": b"x", "out.log": b"out", "venv/lib": b"lib", "cache/kept.log": b"kept"})
    changed = await lent.capture()
    assert await trees.show(changed) == {
        ".gitignore": FILES[".gitignore"],
        "a": b"A",
        "cache/kept.log": b"kept",
        "link": (SYMLINK, b"a"),
        "new/x": b"x",
        "tool": b"t",
    }
    assert await lent.capture() == changed
    await lent.close()


async def test_oddities_in_ignored_directories_hinder_no_search_for_what_is_kept(trees: Trees) -> None:
    """Installers leave repositories, pipes and names that are not UTF-8 in the directories that they fill."""
    tree = await trees.make(FILES)
    lent = await trees.workspace.directory(tree, keep=["venv/*.txt"])
    materialise(lent.path, {"venv/kept.txt": b"kept", "venv/source/.git/HEAD": b"", "venv/lib/x.py": b""})
    await asyncio.to_thread(os.mkdir, os.fsencode(lent.path / "venv") + b"/\xff")
    await asyncio.to_thread((lent.path / "venv/.GIT").mkdir)
    os.mkfifo(lent.path / "venv/pipe")
    assert await trees.show(await lent.capture()) == {**FILES, "venv/kept.txt": b"kept"}
    await lent.close()
    again = await trees.workspace.directory(tree, keep=["venv/"])
    materialise(again.path, {"venv/deep/x": b"x", "venv/deep/.git/HEAD": b""})
    assert await trees.show(await again.capture()) == {**FILES, "venv/deep/x": b"x"}
    os.mkfifo(again.path / "venv/pipe")
    with pytest.raises(UsageError, match="venv/pipe: is a named pipe, not a file"):
        await again.capture()
    await again.close()


async def test_a_tool_cannot_hide_files_of_the_tree_behind_an_ignore_file(trees: Trees) -> None:
    tree = await trees.make(FILES)
    lent = await trees.workspace.directory(tree)
    (lent.path / ".gitignore").write_bytes(b"*\n")
    (lent.path / "a").write_bytes(b"changed")
    (lent.path / "made").write_bytes(b"ignored now")
    assert await trees.show(await lent.capture()) == {**FILES, ".gitignore": b"*\n", "a": b"changed"}
    await lent.close()


async def test_a_change_that_keeps_size_and_time_is_seen(trees: Trees) -> None:
    lent = await trees.workspace.directory(await trees.make(FILES))
    status = (lent.path / "a").stat()
    (lent.path / "a").write_bytes(b"z")
    os.utime(lent.path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (await trees.show(await lent.capture()))["a"] == b"z"
    await lent.close()


async def test_nothing_of_one_tool_reaches_the_next(trees: Trees, tmp_path: Path) -> None:
    tree = await trees.make(FILES)
    outside = tmp_path / "outside"
    materialise(outside, {"precious": b"!"})
    first = await trees.workspace.directory(tree)
    path = first.path
    status = (path / "a").stat()
    (path / "a").write_bytes(b"z")
    os.utime(path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    shutil.rmtree(path / "d")
    await asyncio.to_thread((path / "d").symlink_to, outside)
    materialise(path, {"left.log": b"left", "venv/deep/lib": b"lib"})
    (path / "venv/deep").chmod(0)
    (path / "tool").unlink()
    os.mkfifo(path / "tool")
    await first.close()
    other = {**FILES, "a": b"a", "other": b"o"}
    second = await trees.workspace.directory(await trees.make(other))
    assert second.path == path
    assert found(second.path) == other
    assert found(outside) == {"precious": b"!"}
    await second.close()


async def test_what_was_not_touched_is_not_written_again(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written in the very tick of their handing out are in doubt, so here the clock moves on before it."""
    probe = DirectoryPool.probe

    def in_the_next_tick(self: DirectoryPool) -> int:
        first = probe(self)
        while (now := probe(self)) == first:
            pass
        return now

    monkeypatch.setattr(DirectoryPool, "probe", in_the_next_tick)
    tree = await trees.make({f"f{n}": b"%d" % n for n in range(50)})
    first = await trees.workspace.directory(tree)
    stamps = {path.name: path.lstat().st_ctime_ns for path in first.path.iterdir()}
    (first.path / "f7").write_bytes(b"x")
    await first.close()
    second = await trees.workspace.directory(tree)
    again = {path.name: path.lstat().st_ctime_ns for path in second.path.iterdir()}
    assert {name for name in again if again[name] != stamps[name]} == {"f7"}
    assert (second.path / "f7").read_bytes() == b"7"
    await second.close()


async def test_directories_are_private_given_back_once_and_gone_at_the_end(trees: Trees) -> None:
    tree = await trees.make(FILES)
    one, two = await asyncio.gather(trees.workspace.directory(tree), trees.workspace.directory(tree))
    assert one.path != two.path
    (one.path / "a").write_bytes(b"one")
    assert (two.path / "a").read_bytes() == b"a"
    await one.close()
    await one.close()
    with pytest.raises(UsageError, match="the working directory was given back"):
        await one.capture()
    three, four = await asyncio.gather(trees.workspace.directory(tree), trees.workspace.directory(tree))
    assert len({two.path, three.path, four.path}) == 3
    home = one.path.parent
    await trees.workspace.close()
    await trees.workspace.close()
    assert not await asyncio.to_thread(home.exists)


async def test_directories_of_dead_processes_are_removed_and_of_live_ones_kept(trees: Trees, tmp_path: Path) -> None:
    dead = tmp_path / "pool/engine-dead"
    materialise(dead, {"lock": b"", "1/file": b""})
    held = await trees.workspace.directory(await trees.make(FILES))
    assert not await asyncio.to_thread(dead.exists)
    other = Trees(tmp_path)
    lent = await other.workspace.directory(await other.make(FILES))
    assert found(held.path) == FILES
    await lent.close()
    await other.workspace.close()
    assert found(held.path) == FILES
