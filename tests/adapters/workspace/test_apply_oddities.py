"""Applies where the directory or its file system is against them, and where ignore files are."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenuto.adapters.workspace.files import Files as FilesBelow
from tenuto.adapters.workspace.trees import EXECUTABLE
from tenuto.errors import StorageError, UsageError

from .conftest import Files, Trees
from .test_apply_directory import AFTER, BEFORE, Place, a_place
from .test_patches import found, materialise


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@pytest.fixture
def bound() -> Iterator[None]:
    """Makes permissions hold, for root too: without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, in threads to come."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)
    held = (_Capabilities * 2)()
    assert libc.capget(header, held) == 0
    before = held[0].effective
    held[0].effective = before & ~0b110
    assert libc.capset(header, held) == 0
    try:
        yield
    finally:
        held[0].effective = before
        assert libc.capset(header, held) == 0


async def with_result(place: Place, files: Files) -> Place:
    place.result = type(place.result)(
        base=place.result.base, head=None, run=place.result.run, tree=await place.trees.make(files)
    )
    return place


@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize("closed", [".", "gone/deep", "dir-to-file"])
async def test_a_directory_that_may_not_be_written_is_named_before_anything_is_done(
    trees: Trees, tmp_path: Path, closed: str
) -> None:
    place = await a_place(tmp_path, trees)
    before = found(place.directory)
    (place.directory / closed).chmod(0o555)
    with pytest.raises(StorageError, match=r"cannot be changed, so nothing was done; make it writable and apply"):
        await place.apply()
    assert found(place.directory) == before
    (place.directory / closed).chmod(0o755)
    applied = await place.apply()
    assert (applied.status, applied.resumed) == ("applied", False)
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored"}


@pytest.mark.usefixtures("bound")
async def test_files_that_may_only_be_read_are_replaced_and_stay_so(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    for name in ("changed.txt", "tool"):
        (place.directory / name).chmod(0o444)
    assert (await place.apply()).left == ()
    modes = [(place.directory / name).stat().st_mode & 0o777 for name in ("changed.txt", "tool")]
    assert modes == [0o444, 0o555]
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored"}


@pytest.mark.usefixtures("bound")
async def test_files_that_cannot_be_read_are_named(trees: Trees, tmp_path: Path) -> None:
    place = await a_place(tmp_path, trees)
    for path, bits in (("same", 0o000), ("gone", 0o000), (".gitignore", 0o200)):
        (place.directory / path).chmod(bits)
        with pytest.raises(UsageError, match=rf"{path}/?: cannot be read \(Permission denied\); make it readable or"):
            await place.apply()
        (place.directory / path).chmod(0o755)


async def test_a_result_that_ignore_files_name_is_found_to_be_in_place(trees: Trees, tmp_path: Path) -> None:
    """A step may keep ignored files, and an agent may write some."""
    made: Files = {**AFTER, "cache/a.log": b"kept", "trace.log": (EXECUTABLE, b"kept, too")}
    place = await with_result(await a_place(tmp_path, trees), made)
    assert (await place.apply()).status == "applied"
    assert found(place.directory) == {**made, "mine.log": b"ignored"}
    assert (await place.apply()).status == "unchanged"
    (place.directory / "trace.log").write_text("the user's own since")
    assert (await place.apply(merge=True)).left == ("trace.log",)
    assert (place.directory / "trace.log").read_text() == "the user's own since"


async def test_files_of_the_start_stay_in_the_comparison_whatever_is_ignored_since(
    trees: Trees, tmp_path: Path
) -> None:
    place = await a_place(tmp_path, trees)
    await asyncio.to_thread((tmp_path / "repo/.git/info").mkdir, parents=True)
    (tmp_path / "repo/.git/info/exclude").write_text("changed.txt\ngone/\n")
    assert (await place.apply()).foreign == ()
    (tmp_path / "repo/.git/info/exclude").unlink()
    here = found(place.directory)
    assert {path: here[path] for path in here if not path.startswith(".git/")} == {**AFTER, "mine.log": b"ignored"}


async def test_a_huge_file_in_the_way_is_left_alone_unread(trees: Trees, tmp_path: Path) -> None:
    place = await with_result(await a_place(tmp_path, trees), {**AFTER, "huge.log": b"small"})
    with (place.directory / "huge.log").open("wb") as file:
        file.truncate(1 << 40)
    applied = await place.apply()
    assert (applied.status, applied.left) == ("applied", ("huge.log",))
    (place.directory / "huge.log").unlink()


@pytest.mark.parametrize("links", [True, False])
async def test_a_new_file_is_never_put_over_another(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Not even in the moment after the last look, where the file system has links."""
    place = await a_place(tmp_path, trees)
    link = FilesBelow.link

    def saved_just_now(self: FilesBelow, path: str, name: str) -> None:
        if not links:
            raise PermissionError(1, "Operation not permitted")
        if path.startswith("new/deep/"):
            (place.directory / "new/deep/file").write_text("saved by an editor")
        link(self, path, name)

    monkeypatch.setattr(FilesBelow, "link", saved_just_now)
    applied = await place.apply()
    assert applied.left == (("new/deep/file",) if links else ())
    there = b"saved by an editor" if links else AFTER["new/deep/file"]
    assert found(place.directory) == {**AFTER, "mine.log": b"ignored", "new/deep/file": there}


async def test_names_that_a_file_system_takes_for_one_are_named(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on disks that do not tell `Readme` from `README`; here, names are folded on their way to the disk."""
    place = await with_result(
        await a_place(tmp_path, trees), {**AFTER, "README": b"1", "Readme": b"2", "readme": b"3"}
    )
    tree = place.result.tree
    parent, link, replace = FilesBelow.parent, FilesBelow.link, FilesBelow.replace

    def folded(self: FilesBelow, path: str, *, create: bool = False) -> tuple[int, str]:
        return parent(self, path.lower(), create=create)

    monkeypatch.setattr(FilesBelow, "parent", folded)
    monkeypatch.setattr(FilesBelow, "link", lambda self, path, name: link(self, path, name.lower()))
    monkeypatch.setattr(FilesBelow, "replace", lambda self, path, name: replace(self, path, name.lower()))
    applied = await place.apply()
    assert applied.left == ("Readme", "readme")
    assert found(place.directory)["readme"] == b"1"
    with pytest.raises(StorageError, match="two files of the tree have one name in this file system"):
        await trees.workspace.check_out(tree, tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_directory_that_has_become_a_link_is_not_written_through(trees: Trees, tmp_path: Path) -> None:
    place = await with_result(await a_place(tmp_path, trees), {**BEFORE, "gone/deep/z": b"Z", "gone/deep/new": b"n"})
    outside = tmp_path / "outside"
    materialise(outside, {"deep/z": b"z"})
    (place.directory / "gone/deep/z").unlink()
    (place.directory / "gone/deep").rmdir()
    (place.directory / "gone").rmdir()
    (place.directory / "gone").symlink_to(outside)
    assert (await place.apply(merge=True)).status == "conflict"
    assert found(outside) == {"deep/z": b"z"}


async def test_odd_names_are_applied(trees: Trees, tmp_path: Path) -> None:
    odd: Files = {"-rf": b"1", "a\nb": b"2", "trailing ": b"3", "x" * 255: b"4", "d\te/ü": b"5", "*?[": b"6"}
    place = await with_result(await a_place(tmp_path, trees), {**AFTER, **odd})
    assert (await place.apply()).left == ()
    assert found(place.directory) == {**AFTER, **odd, "mine.log": b"ignored"}
