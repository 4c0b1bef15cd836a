"""What of a directory becomes its tree: held to git, and refused by name where it cannot."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tenuto.adapters.workspace.scan import CaptureLimits
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE, EXECUTABLE, SYMLINK
from tenuto.errors import UsageError

from .conftest import Files, Trees
from .test_patches import materialise


def git(directory: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], cwd=directory, env=environment, capture_output=True, check=True)
    return done.stdout.decode()


async def test_files_links_and_modes_are_in_and_a_second_look_agrees(trees: Trees, tmp_path: Path) -> None:
    directory = tmp_path / "repo"
    files: Files = {
        "a": b"a",
        "d/link": (SYMLINK, b"/nowhere"),
        "d/tool": (EXECUTABLE, b"#!"),
        "empty": b"",
        "ünï/ code": b"\r\n",
    }
    materialise(directory, dict(files))
    (directory / "no-files/inside").mkdir(parents=True)
    tree = await trees.workspace.capture(directory)
    assert await trees.show(tree) == files
    assert tree == await trees.make(files) == await trees.workspace.capture(directory)


async def test_an_empty_directory_is_the_empty_tree(trees: Trees, tmp_path: Path) -> None:
    directory = tmp_path / "repo"
    await asyncio.to_thread(directory.mkdir)
    assert await trees.workspace.capture(directory) == EMPTY_TREE


NAMES = ["a", "b.log", "c d", "build", "x.py", "#h", "!n", "deep", "[k]", "e\\f", "é", "-rf", "a\nb", "t "]
PATTERNS = [
    "*.log", "build/", "/build", "deep/**", "**/x.py", "!b.log", "!x.py", "a", "a/", "deep/a", "/deep/*/a", "?",
    "[a-c]*", "[!a]", "\\#h", "\\!n", "c d", "c d  ", "c\\ d\\ ", "*", "!*/", "!deep", "**", "a/**/b.log", "[[]k]",
    "# comment", "[", "e\\\\f", "dee*/b*", "deep//a", "***", "a**/x.py",
    "[^]]", "[!a-c]", "[]-a]", "[[:alpha:]]", "[[:foo:]]", "[z-a]", "??", "é", "[é]", "?*?", "/", "!!a", "\\", "t\\ ",
    "-*", "**/**", "*/*", "a[!x]b",
]  # fmt: skip


def a_directory(chance: random.Random, top: Path) -> None:
    """Files and ignore files at random, three levels deep."""
    for _ in range(25):
        path = top.joinpath(*(chance.choice(NAMES) for _ in range(chance.randrange(1, 4))))
        if all(not above.is_file() for above in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    directories = [top, *(path for path in top.rglob("*") if path.is_dir() and ".git" not in path.parts)]
    for at in chance.sample(directories, min(len(directories), 3)):
        (at / ".gitignore").write_text("\n".join(chance.sample(PATTERNS, chance.randrange(1, 5))) + "\n")


async def agree_with_git(trees: Trees, top: Path, seed: int) -> None:
    chance = random.Random(seed)
    await asyncio.to_thread(top.mkdir)
    await asyncio.to_thread(git, top, "init", "-q")
    await asyncio.to_thread(a_directory, chance, top)
    exclude = top / ".git/info/exclude"
    await asyncio.to_thread(exclude.write_text, "\n".join(chance.sample(PATTERNS, 2)))
    listed = await asyncio.to_thread(git, top, "ls-files", "-z", "--others", "--exclude-standard")
    tree = await trees.workspace.capture(top)
    entries = [entry.path for entry in await trees.workspace.entries(tree)]
    assert entries == sorted(listed.split("\0")[:-1]), f"seed {seed}"


async def test_what_is_ignored_is_what_git_ignores(trees: Trees, tmp_path: Path) -> None:
    for seed in range(60):
        await agree_with_git(trees, tmp_path / str(seed), seed)


@pytest.mark.battery
async def test_what_is_ignored_is_what_git_ignores_in_many_directories(trees: Trees, tmp_path: Path) -> None:
    for seed in range(100, 900):
        await agree_with_git(trees, tmp_path / str(seed), seed)


async def test_rules_above_the_directory_and_our_own_file_hold(trees: Trees, tmp_path: Path) -> None:
    top = tmp_path / "repo"
    materialise(
        top,
        {
            ".gitignore": b"*.log\n/packages/app/dist\n",
            "packages/app/.gitignore": b"*.csv\n",
            "packages/app/.tenutoignore": b"!keep.csv\nsecret\n",
            "packages/app/a.log": b"",
            "packages/app/dist/x": b"",
            "packages/app/keep.csv": b"kept",
            "packages/app/other.csv": b"",
            "packages/app/secret": b"",
            "packages/app/src/main.py": b"",
            "packages/app/.tenuto/store": b"",
        },
    )
    await asyncio.to_thread(git, top, "init", "-q")
    tree = await trees.workspace.capture(top / "packages/app")
    assert [entry.path for entry in await trees.workspace.entries(tree)] == [
        ".gitignore", ".tenutoignore", "keep.csv", "src/main.py"
    ]  # fmt: skip


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))


def a_submodule(path: Path) -> None:
    path.mkdir()
    (path / ".git").write_text("gitdir: ../.git/modules/x\n")


def a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("devices cannot be made here")


def a_sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


Hindrance = Callable[[Path], object]
HINDRANCES: dict[str, tuple[Hindrance, str]] = {
    "socket": (a_socket, "x: is a socket, not a file; remove it or add it to .tenutoignore"),
    "pipe": (os.mkfifo, "x: is a named pipe, not a file"),
    "repository": (lambda path: (path / ".git").mkdir(parents=True), "x: is a nested git repository or a submodule"),
    "submodule": (a_submodule, "x: is a nested git repository or a submodule; remove it or add it to .tenutoignore"),
    "device": (a_device, "x: is a device, not a file"),
    "deep repository": (
        lambda path: (path / "y/z/.git").mkdir(parents=True),
        "x/y/z: is a nested git repository or a submodule",
    ),
    "sparse": (a_sparse_file, "x: is larger than 1 MiB (1099511627776 bytes)"),
    "bytes": (
        lambda path: Path(os.fsdecode(bytes(path) + b"\xff")).write_bytes(b""),
        "x\\xff: has a name that is not UTF-8",
    ),
    "large": (lambda path: path.write_bytes(b"x" * 2_000_000), "x: is larger than 1 MiB"),
    "many": (lambda path: [Path(f"{path}{n}").write_bytes(b"") for n in range(6)], "holds more than 5 files"),
    "deep": (lambda path: (path / "a/b/c").mkdir(parents=True), "directories are nested too deeply"),
    "case": (lambda path: path.with_name(".GIT").touch(), "has a name that some disks take for git's own"),
}


@pytest.mark.parametrize("hindrance", HINDRANCES)
async def test_what_cannot_be_in_a_tree_is_named(trees: Trees, tmp_path: Path, hindrance: str) -> None:
    make, message = HINDRANCES[hindrance]
    limits = CaptureLimits(depth_max=3, file_bytes_max=1 << 20, files_max=5)
    workspace = TreeWorkspace(trees.blobs, tmp_path / "pool", limits=limits)
    directory = tmp_path / "repo"
    await asyncio.to_thread(directory.mkdir)
    await asyncio.to_thread(make, directory / "x")
    with pytest.raises(UsageError) as refused:
        await workspace.capture(directory)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("rules", ["x", "x/", "/x/y", "*"])
async def test_a_nested_repository_that_is_ignored_is_left_out(trees: Trees, tmp_path: Path, rules: str) -> None:
    directory = tmp_path / "repo"
    materialise(
        directory, {"x/y/.git/HEAD": b"", "x/y/f": b"", ".tenutoignore": f"{rules}\n!/a\n".encode(), "a": b""}
    )
    tree = await trees.workspace.capture(directory)
    found = {entry.path for entry in await trees.workspace.entries(tree)}
    assert found - {".tenutoignore"} == {"a"}


LARGE = """
import asyncio, pathlib, resource, sys
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

async def main(place):
    workspace = TreeWorkspace(FileArtifactStore(place / "store"), place / "pool")
    before = peak()
    tree = await workspace.capture(place / "repo")
    lent = await workspace.directory(tree)
    with (lent.path / "large").open("ab") as file:
        file.write(b"more")
    changed = await lent.capture()
    await lent.close()
    await workspace.check_out(changed, place / "out")
    await workspace.close()
    print(peak() - before)

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.battery
def test_a_file_of_100_mib_takes_little_more_than_itself_in_memory(tmp_path: Path) -> None:
    materialise(tmp_path / "repo", {"large": random.Random(1).randbytes(100 << 20)})
    asked = [sys.executable, "-W", "error::EncodingWarning", "-c", LARGE, str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, check=True)
    assert (tmp_path / "out/large").stat().st_size == (100 << 20) + 4
    assert int(done.stdout) < 250, "MiB"


async def test_a_directory_that_is_none_is_named(trees: Trees, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone: there is no such directory; name another one"):
        await trees.workspace.capture(tmp_path / "gone")
    await asyncio.to_thread((tmp_path / "file").touch)
    with pytest.raises(UsageError, match="file: is not a directory"):
        await trees.workspace.capture(tmp_path / "file")
