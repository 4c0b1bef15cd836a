"""Trees written to directories that were empty or missing."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from tenuto.adapters.workspace import checkout
from tenuto.adapters.workspace.trees import EMPTY_TREE, EXECUTABLE, SYMLINK
from tenuto.core.ids import Digest
from tenuto.errors import MissingArtifactError, StorageError, UsageError

from .conftest import Files, Trees
from .test_patches import found, materialise

FILES: Files = {
    "-rf": b"odd",
    "a\nb": b"odd",
    "big": b"\0" * 20_000_000,
    "d/e/f": b"deep",
    "empty": b"",
    "link": (SYMLINK, b"../../outside"),
    "tool": (EXECUTABLE, b"#!/bin/sh\n"),
    "x" * 255: b"long",
    "trailing ": b"odd",
}


@pytest.mark.parametrize("place", ["new", "deep/new", "empty", "link"])
async def test_a_tree_is_written_whole_with_modes_and_links(trees: Trees, tmp_path: Path, place: str) -> None:
    await asyncio.to_thread((tmp_path / "empty").mkdir)
    (tmp_path / "link").symlink_to("empty")
    tree = await trees.make(FILES)
    assert await trees.workspace.check_out(tree, tmp_path / place) == len(FILES)
    assert found(tmp_path / place) == FILES
    assert await trees.workspace.capture(tmp_path / place) == tree


async def test_modes_are_those_that_the_umask_leaves(trees: Trees, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        await trees.workspace.check_out(await trees.make(FILES), tmp_path / "new")
    finally:
        os.umask(before)
    modes = [(tmp_path / "new" / name).stat().st_mode & 0o777 for name in ("empty", "tool", "d")]
    assert modes == [0o640, 0o750, 0o750]


async def test_the_empty_tree_is_an_empty_directory(trees: Trees, tmp_path: Path) -> None:
    assert await trees.workspace.check_out(EMPTY_TREE, tmp_path / "new") == 0
    assert await asyncio.to_thread(os.listdir, tmp_path / "new") == []


async def test_nothing_is_ever_written_over(trees: Trees, tmp_path: Path) -> None:
    tree = await trees.make(FILES)
    materialise(tmp_path, {"full/mine": b"mine", "file": b"mine"})
    (tmp_path / "dangling").symlink_to("nowhere")
    before = found(tmp_path)
    for place, message in (
        ("full", "full: the directory is not empty: it holds mine; name an empty one"),
        ("file", "file: this is not a directory"),
        ("dangling", "dangling: this is not a directory"),
        ("file/new", "the directory cannot be made or written"),
    ):
        with pytest.raises(UsageError, match=message):
            await trees.workspace.check_out(tree, tmp_path / place)
    assert found(tmp_path) == before


async def test_a_file_that_comes_meanwhile_is_left_alone(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_up = checkout._move_up

    def look_then_move(stage: Path, directory: Path) -> None:
        (directory / "tool").write_text("mine")
        move_up(stage, directory)

    monkeypatch.setattr(checkout, "_move_up", look_then_move)
    with pytest.raises(StorageError, match=r"two files of the tree have one name .*tool"):
        await trees.workspace.check_out(await trees.make(FILES), tmp_path / "new")
    assert (tmp_path / "new/tool").read_text() == "mine"


async def test_what_cannot_be_finished_leaves_nothing(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkout, "write_files", full)
        with pytest.raises(StorageError, match=r"new: cannot be written \(No space left on device\)"):
            await trees.workspace.check_out(await trees.make(FILES), tmp_path / "new")
    lost = await trees.make({"a": b"a", "b": b"lost"})
    del trees.blobs.held[Digest((await trees.workspace.entries(lost))[1].digest)]
    with pytest.raises(MissingArtifactError):
        await trees.workspace.check_out(lost, tmp_path / "new")
    assert not (tmp_path / "new").exists()
