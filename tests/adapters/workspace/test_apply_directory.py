"""Bringing results into the user's directory, with a kill before every single change of a disk."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tenuto.adapters.workspace.apply_directory import Applied, apply_to_directory
from tenuto.adapters.workspace.comparing import Result
from tenuto.adapters.workspace.replacing import Replacer
from tenuto.adapters.workspace.trees import EXECUTABLE, SYMLINK
from tenuto.core.ids import Digest, RunId
from tenuto.errors import StorageError, UsageError
from tenuto.ports.workspace import FileChange

from .conftest import Files, Trees
from .test_patches import found, materialise

BEFORE: Files = {
    ".gitignore": b"*.log\n",
    "changed.txt": b"old\n",
    "dir-to-file/x": b"x",
    "dir-to-file/y": b"y",
    "file-to-dir": b"was a file",
    "gone/deep/z": b"z",
    "link": (SYMLINK, b"changed.txt"),
    "same": b"same",
    "tool": b"#!/bin/sh\n",
}
AFTER: Files = {
    ".gitignore": b"*.log\n",
    "changed.txt": b"new\n",
    "dir-to-file": b"now a file",
    "file-to-dir/inner": b"inner",
    "link": (SYMLINK, b"same"),
    "new/deep/file": b"new",
    "same": b"same",
    "tool": (EXECUTABLE, b"#!/bin/sh\n"),
}
RUN = RunId("r1")


class Place:
    def __init__(self, root: Path, trees: Trees, base: Digest, tree: Digest) -> None:
        self.directory = root / "repo"
        self.displaced = root / "store" / "displaced"
        self.trees = trees
        self.result = Result(base=base, head=None, run=RUN, tree=tree)
        self.directory.mkdir(parents=True)
        materialise(self.directory, dict(BEFORE))
        (self.directory / "mine.log").write_text("ignored")

    async def apply(self, *, merge: bool = False) -> Applied:
        return await apply_to_directory(
            self.trees.workspace,
            self.directory,
            self.result,
            displaced=self.displaced,
            environment={"PATH": os.environ["PATH"]},
            merge=merge,
        )


async def a_place(root: Path, trees: Trees) -> Place:
    return Place(root, trees, await trees.make(BEFORE), await trees.make(AFTER))


async def test_the_result_is_brought_in_and_what_it_displaces_is_kept(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    (place.directory / "changed.txt").chmod(0o640)
    applied = await place.apply()
    assert (applied.status, applied.left, applied.tree) == ("applied", (), place.result.tree)
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored"}
    assert (place.directory / "changed.txt").stat().st_mode & 0o777 == 0o640
    gone = {path: body for path, body in BEFORE.items() if AFTER.get(path) != body}
    assert found(place.displaced / RUN / "1") == gone
    assert (await place.apply()).status == "unchanged"


@pytest.mark.parametrize("there", ["empty", "missing"])
async def test_an_empty_or_missing_directory_gets_the_whole_result(trees: Trees, tmp_path: Path, there: str) -> None:
    place = await a_place(tmp_path, trees)
    place.directory = tmp_path / "other" / "place"
    if there == "empty":
        await asyncio.to_thread(place.directory.mkdir, parents=True)
    applied = await place.apply()
    assert (applied.status, applied.left, applied.foreign) == ("applied", (), ())
    assert found(place.directory) == AFTER
    assert (await place.apply()).status == "unchanged"


async def test_a_directory_that_holds_anything_is_compared(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    place.directory = tmp_path / "other"
    await asyncio.to_thread(place.directory.mkdir)
    (place.directory / "mine").write_text("mine")
    assert (await place.apply(merge=True)).status == "conflict"
    assert found(place.directory) == {"mine": b"mine"}


async def test_a_file_is_no_directory_to_apply_to(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    place.directory = tmp_path / "file"
    place.directory.write_text("mine")
    with pytest.raises(UsageError, match="this is not a directory; name another one"):
        await place.apply()


async def test_foreign_changes_are_merged_only_when_asked(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    (place.directory / "same").write_text("mine")
    (place.directory / "untracked").write_text("mine too")
    before = found(place.directory)
    shown = await place.apply()
    assert shown.status == "preview"
    assert [change.path for change in shown.foreign] == ["same", "untracked"]
    assert found(place.directory) == before
    assert (await place.apply(merge=True)).status == "applied"
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored", "same": b"mine", "untracked": b"mine too"}


async def test_foreign_changes_in_the_way_are_named_and_nothing_is_done(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    (place.directory / "changed.txt").write_text("mine")
    before = found(place.directory)
    refused = await place.apply(merge=True)
    assert refused.status == "conflict"
    assert [(conflict.path, conflict.steps) for conflict in refused.conflicts] == [
        ("changed.txt", ("directory", "r1"))
    ]
    assert found(place.directory) == before


async def test_an_ignored_file_of_the_user_is_never_overwritten(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    tree = await trees.make({**AFTER, "mine.log": b"from the run"})
    place.result = Result(base=place.result.base, head=None, run=RUN, tree=tree)
    applied = await place.apply()
    assert applied.left == ("mine.log",)
    assert (place.directory / "mine.log").read_text() == "ignored"


async def test_a_link_put_in_the_way_is_not_followed(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    outside = tmp_path / "outside"
    outside.mkdir()
    await asyncio.to_thread(place.directory.joinpath("ignored.log").symlink_to, outside)
    tree = await trees.make({**BEFORE, "ignored.log/planted": b"!"})
    place.result = Result(base=place.result.base, head=None, run=RUN, tree=tree)
    assert (await place.apply()).left == ("ignored.log/planted",)
    assert found(outside) == {}


@pytest.mark.parametrize("path", ["changed.txt", "gone/deep/z", "new/deep/file"])
async def test_a_change_in_the_last_moment_is_left_alone(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    place = await a_place(tmp_path, trees)
    look = Replacer._look

    def look_then_change(self: Replacer, change: FileChange) -> object:
        seen = look(self, change)
        if change.path == path:
            (place.directory / path).parent.mkdir(parents=True, exist_ok=True)
            (place.directory / path).write_text("saved by an editor")
        return seen

    monkeypatch.setattr(Replacer, "_look", look_then_change)
    applied = await place.apply()
    assert applied.left == (path,)
    assert (place.directory / path).read_text() == "saved by an editor"


CHANGES = frozenset(
    ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod", "os.truncate", "os.link")
)


class Killed(BaseException):
    """Raised in place of the change of a disk at which a process dies, and of every one after it."""


class Killer:
    """Counts changes of disks in this process, and lets none happen once `left` of them have.

    A real kill is the same to the disk: nothing after it is written, whatever `finally` says. Audit hooks cannot
    be taken out again, so there is one, which sleeps outside of `counting`.
    """

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(self.look)

    def look(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left is None:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            self.left -= 1
            if self.left < 0:
                raise Killed

    async def applied(self, place: Place, changes: int, *, merge: bool = False) -> bool:
        """Apply, and die before change `changes + 1`. Whether it came to its end."""
        self.left = changes
        try:
            await place.apply(merge=merge)
        except Killed:
            return False
        finally:
            self.left = None
        return True


KILLER = Killer()


async def test_a_kill_before_any_change_is_resumed_to_the_same_end(trees: Trees, tmp_path: Path) -> None:
    base, tree = await trees.make(BEFORE), await trees.make(AFTER)
    ended, number, resumed = False, -1, 0
    while not ended:
        number += 1
        assert number < 200
        place = Place(tmp_path / str(number), trees, base, tree)
        ended = await KILLER.applied(place, number)
        applied = await place.apply()
        assert applied.left == (), f"killed before change {number}"
        assert found(place.directory) == {**AFTER, "mine.log": b"ignored"}, f"killed before change {number}"
        kept = found(place.displaced / RUN / "1")
        assert kept == {path: body for path, body in BEFORE.items() if AFTER.get(path) != body}
        resumed += applied.resumed
    assert number > 40
    assert resumed > 30


async def test_a_kill_while_resuming_is_resumed_again(trees: Trees, tmp_path: Path) -> None:
    """Each try gets a few changes further than the one before, and dies."""
    place = await a_place(tmp_path, trees)
    (place.directory / "untracked").write_text("mine")
    tries = 0
    while not await KILLER.applied(place, 9 + 3 * tries, merge=True):
        tries += 1
        assert tries < 60
    assert tries > 3
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored", "untracked": b"mine"}


async def test_work_saved_after_a_kill_is_left_alone(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    assert not await KILLER.applied(place, 12)
    (place.directory / "tool").write_text("mine since")
    applied = await place.apply()
    assert (applied.resumed, applied.left) == (True, ("tool",))
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored", "tool": b"mine since"}


async def test_a_second_apply_never_writes_over_what_the_first_displaced(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    await place.apply()
    (place.directory / "changed.txt").write_bytes(b"old\n")
    (place.directory / "tool").chmod(0o644)
    assert (await place.apply()).status == "preview"
    again = await place.apply(merge=True)
    assert again.displaced == place.displaced / RUN / "2"
    assert found(place.displaced / RUN / "1")["changed.txt"] == b"old\n"
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored"}


async def test_another_run_waits_for_an_interrupted_apply(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    assert not await KILLER.applied(place, 12)
    place.result = Result(base=place.result.base, head=None, run=RunId("r2"), tree=place.result.base)
    with pytest.raises(UsageError, match="an apply of r1 was interrupted here; run tenuto apply r1"):
        await place.apply()


async def test_one_run_is_not_applied_elsewhere_before_it_is_finished(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    assert not await KILLER.applied(place, 12)
    first, place.directory = place.directory, tmp_path / "elsewhere"
    place.directory.mkdir()
    materialise(place.directory, dict(BEFORE))
    with pytest.raises(UsageError, match="repo: an apply of r1 was interrupted here; run tenuto apply r1 there"):
        await place.apply()
    await asyncio.to_thread(shutil.rmtree, first)
    assert (await place.apply()).status == "applied"
    assert found(place.directory) == AFTER


async def test_a_damaged_note_and_a_store_that_cannot_be_written_are_named(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    await place.apply()
    note = place.displaced / RUN / "progress.json"
    note.write_bytes(b"{}")
    with pytest.raises(StorageError, match=r"progress\.json: is not a note of an apply .*; remove it"):
        await place.apply()
    place.displaced = note
    with pytest.raises(StorageError, match=r"progress\.json: cannot be written"):
        await place.apply()


async def test_a_full_disk_is_named_and_the_apply_goes_on_afterwards(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await a_place(tmp_path, trees)

    def full(self: Replacer, temporary: str, *rest: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Replacer, "_write", full)
        with pytest.raises(StorageError, match=r"cannot be replaced \(No space left on device\); repair that and"):
            await place.apply()
    assert (await place.apply()).resumed
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored"}


async def test_displaced_files_are_for_their_owner_only(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    await place.apply()
    assert place.displaced.stat().st_mode & 0o777 == 0o700


async def test_two_applies_at_once_are_refused(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    done = await asyncio.gather(place.apply(), place.apply(), return_exceptions=True)
    assert [type(outcome) for outcome in done] == [Applied, UsageError]
    assert "another apply is at work" in str(done[1])


async def test_a_moved_head_alone_hinders_nothing(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    place.result = replace(place.result, head="0" * 40)
    applied = await place.apply()
    assert (applied.status, applied.head_moved) == ("applied", True)
