"""Patches, applied by real git."""

from __future__ import annotations

import asyncio
import random
import subprocess
from pathlib import Path

import pytest

from tenuto.adapters.workspace.trees import EMPTY_TREE, EXECUTABLE, FILE, SYMLINK

from .conftest import Trees

NAMES = ["a.txt", "b", "dir/c.py", "dir/deep/d", "dir/e", "with space.txt", "tab\there", 'quo"te', "ümlaut", "nl\nx"]


def materialise(directory: Path, files: dict[str, bytes | tuple[str, bytes]]) -> None:
    for path, value in files.items():
        mode, body = value if isinstance(value, tuple) else (FILE, value)
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if mode == SYMLINK:
            target.symlink_to(body.decode())
        else:
            target.write_bytes(body)
            target.chmod(0o755 if mode == EXECUTABLE else 0o644)


def found(directory: Path) -> dict[str, bytes | tuple[str, bytes]]:
    files: dict[str, bytes | tuple[str, bytes]] = {}
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            files[name] = (SYMLINK, str(path.readlink()).encode())
        elif path.is_file():
            body = path.read_bytes()
            files[name] = (EXECUTABLE, body) if path.stat().st_mode & 0o100 else body
    return files


def body(chance: random.Random) -> bytes:
    kind = chance.randrange(7)
    if kind == 0:
        return chance.randbytes(chance.randrange(200)) + b"\0"
    if kind == 1:
        return b""
    ending = b"\r\n" if kind == 2 else b"\n"
    text = b"".join(b"%d%s" % (chance.randrange(6), ending) for _ in range(chance.randrange(1, 60)))
    return text.removesuffix(b"\n") if kind == 3 else text


def files(chance: random.Random, like: dict[str, bytes | tuple[str, bytes]]) -> dict[str, bytes | tuple[str, bytes]]:
    made: dict[str, bytes | tuple[str, bytes]] = {}
    for name in NAMES:
        roll = chance.random()
        if name in like and roll < 0.3:
            made[name] = like[name]
        elif roll < 0.75:
            content = body(chance)
            old = like.get(name)
            if isinstance(old, bytes) and chance.random() < 0.6:
                content = old.replace(b"3", b"three", 2) + b"tail\n"
            made[name] = (EXECUTABLE, content) if chance.random() < 0.2 else content
        elif roll < 0.85:
            made[name] = (SYMLINK, b"../somewhere %d" % chance.randrange(3))
    if chance.random() < 0.3:
        made = {name: value for name, value in made.items() if not name.startswith("dir/")} | {"dir": b"a file\n"}
    return made


async def git_apply(directory: Path, patch: bytes) -> None:
    command = ["git", "apply", "--binary", "--whitespace=nowarn"]
    await asyncio.to_thread(subprocess.run, command, cwd=directory, input=patch, check=True)


async def apply_with_git(trees: Trees, directory: Path, seed: int) -> None:
    chance = random.Random(seed)
    old = files(chance, {})
    new = files(chance, old)
    patch = await trees.workspace.patch(await trees.make(old), await trees.make(new))
    materialise(directory, old)
    if patch:
        await git_apply(directory, patch)
    assert found(directory) == new, f"seed {seed}"


async def test_git_applies_what_was_written(trees: Trees, tmp_path: Path) -> None:
    for seed in range(60):
        directory = tmp_path / str(seed)
        directory.mkdir()
        await apply_with_git(trees, directory, seed)


@pytest.mark.battery
async def test_git_applies_many_patches(trees: Trees, tmp_path: Path) -> None:
    for seed in range(100, 700):
        directory = tmp_path / str(seed)
        directory.mkdir()
        await apply_with_git(trees, directory, seed)


async def test_large_binary_bodies_span_blocks(trees: Trees, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(200_000)
    (tmp_path / "out").mkdir()
    patch = await trees.workspace.patch(EMPTY_TREE, await trees.make({"x.bin": data}))
    await git_apply(tmp_path / "out", patch)
    assert (tmp_path / "out/x.bin").read_bytes() == data


async def test_a_patch_reads_as_git_writes_it(trees: Trees) -> None:
    before = await trees.make({"a": b"1\n2\n3\n4\n5\n6\n7\n8\n", "x": b"x"})
    after = await trees.make({"a": b"1\n2\n3\n4\n5\n6\n7\neight\n", "x": (EXECUTABLE, b"x")})
    text = (await trees.workspace.patch(before, after)).decode()
    assert "@@ -5,4 +5,4 @@\n 5\n 6\n 7\n-8\n+eight\n" in text
    assert text.endswith("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n")
    assert await trees.workspace.patch(after, after) == b""
