"""Reading and changing trees without a directory; what models get wrong is told to them."""

from __future__ import annotations

import pytest

from tenuto.adapters.workspace.trees import EMPTY_TREE, EXECUTABLE, SYMLINK
from tenuto.core.ids import Digest
from tenuto.errors import MissingArtifactError

from .conftest import Files, Trees

FILES: Files = {"a": b"a", "d/b": b"b", "d/e/c": b"c", "link": (SYMLINK, b"d"), "tool": (EXECUTABLE, b"t")}


async def test_edits_are_seen_at_once_and_committed_as_one_tree(trees: Trees) -> None:
    start = await trees.make(FILES)
    edit = await trees.workspace.edit(start)
    await edit.write("./d//b", b"B")
    await edit.write("tool", b"T")
    await edit.write("new/x", b"x", executable=True)
    await edit.delete("d/e/c")
    assert await edit.read("d/b") == b"B"
    assert [entry.path for entry in await edit.entries()] == ["a", "d/b", "link", "new/x", "tool"]
    assert [entry.path for entry in await edit.entries("d")] == ["d/b"]
    expected: Files = {**FILES, "d/b": b"B", "tool": (EXECUTABLE, b"T"), "new/x": (EXECUTABLE, b"x")}
    expected = {path: body for path, body in expected.items() if path != "d/e/c"}
    assert await edit.commit() == await trees.make(expected)
    assert await trees.show(start) == FILES


async def test_edits_that_come_to_nothing_give_the_first_tree(trees: Trees) -> None:
    start = await trees.make(FILES)
    edit = await trees.workspace.edit(start)
    await edit.write("a", b"other")
    await edit.write("a", b"a")
    await edit.write("x/y", b"1")
    await edit.delete("x/y")
    assert await edit.commit() == start
    for path in ("a", "d/b", "d/e/c", "link", "tool"):
        await edit.delete(path)
    assert await edit.commit() == EMPTY_TREE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "the path is empty"),
        ("/etc/passwd", "is not relative"),
        ("~/x", "is not relative"),
        ("d/../../x", r"holds '\.\.'"),
        ("d\\b", "holds a backslash"),
        ("C:/x", "names a drive"),
        ("a\0", "NUL"),
        (".git/config", r"inside '\.git'"),
        ("d/.GIT/config", r"inside '\.GIT'"),
        (".tenuto/x", r"inside '\.tenuto'"),
        ("link/b", "goes through the symbolic link 'link'"),
        ("link", "is a symbolic link"),
        ("\ud800", "not valid Unicode"),
        ("x" * 300, "longer than 255 bytes"),
        ("/".join(["x" * 200] * 30), "longer than 4000 bytes"),
        (".", "names the repository itself"),
        ("a/" * 201 + "x", "leads through more than 200 directories"),
    ],
)
async def test_paths_that_lead_out_or_mean_nothing_are_refused(trees: Trees, path: str, message: str) -> None:
    edit = await trees.workspace.edit(await trees.make(FILES))
    with pytest.raises(ValueError, match=message):
        await edit.read(path)
    with pytest.raises(ValueError, match=message):
        await edit.write(path, b"")


async def test_the_deepest_path_can_be_written_lent_and_captured(trees: Trees) -> None:
    edit = await trees.workspace.edit(EMPTY_TREE)
    await edit.write("a/" * 200 + "x", b"deep")
    tree = await edit.commit()
    lent = await trees.workspace.directory(tree)
    assert await lent.capture() == tree
    await lent.close()


async def test_what_is_not_there_or_something_else_is_said(trees: Trees) -> None:
    edit = await trees.workspace.edit(await trees.make(FILES))
    with pytest.raises(FileNotFoundError, match="there is no file 'x'"):
        await edit.read("x")
    with pytest.raises(FileNotFoundError, match="there is no file 'x'"):
        await edit.delete("x")
    with pytest.raises(IsADirectoryError, match="'d' is a directory"):
        await edit.read("d")
    with pytest.raises(IsADirectoryError, match="'d' is a directory"):
        await edit.write("d", b"")
    with pytest.raises(NotADirectoryError, match="'a' is a file"):
        await edit.write("a/b", b"")
    with pytest.raises(NotADirectoryError, match="'a' is a file"):
        await edit.entries("a")
    assert await edit.entry("d") is None
    with pytest.raises(MissingArtifactError):
        await trees.workspace.edit(Digest("0" * 64))
