"""Directories lent one after the other, with anything at all done in them."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import suppress
from pathlib import Path

from .conftest import Trees
from .git_merges import FEW, clashing_case
from .test_patches import found


def change(chance: random.Random, top: Path) -> None:
    """A few changes below `top`; links lead to names below it only, and nothing is done through one."""
    for _ in range(chance.randrange(6)):
        path = top / chance.choice(FEW)
        other = top / chance.choice(FEW)
        if any(place.is_symlink() for place in (*path.parents, *other.parents) if place.is_relative_to(top)):
            continue
        with suppress(OSError):
            match chance.randrange(6):
                case 0:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                case 1 if not path.is_symlink():
                    path.chmod(chance.choice((0o755, 0o644, 0o600, 0o500)))
                case 2:
                    path.symlink_to(chance.choice(("a", "nowhere", "b/z")))
                case 3:
                    path.rename(other)
                case _ if not path.is_symlink():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"x" * chance.randrange(3))
                case _:
                    pass


async def test_a_directory_holds_its_tree_and_gives_what_it_holds(trees: Trees) -> None:
    paths = set()
    for seed in range(250):
        chance = random.Random(seed)
        files = {
            path: body if mode == "100644" else (mode, body)
            for path, (mode, body) in clashing_case(chance)[chance.randrange(3)].items()
        }
        lent = await trees.workspace.directory(await trees.make(files))
        paths.add(lent.path)
        assert found(lent.path) == files, f"seed {seed}"
        for _ in range(2):
            change(chance, lent.path)
            assert await trees.show(await lent.capture()) == found(lent.path), f"seed {seed}"
        if chance.random() < 0.1:
            os.mkfifo(lent.path / "pipe")
        await lent.close()
    assert len(paths) == 1
