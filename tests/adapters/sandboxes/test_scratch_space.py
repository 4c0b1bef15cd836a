"""The private places of a bubblewrap sandbox."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.sandbox


def bound_below(place: str, tree: Path) -> set[str]:
    """What a sandbox may see in a folder of its own: the way to its tree and to Python, where they lie there."""
    paths = [os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, tree)]
    return {os.path.relpath(path, place).partition("/")[0] for path in paths if path.startswith(f"{place}/")}


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
async def test_scratch_is_bounded_private_and_gone(shell: Any, place: str, tmp_path: Path) -> None:
    result = await shell(f"head -c 400000000 /dev/zero > {place}/flood; ls -s {place}/flood")
    assert b"No space left" in result.stderr
    assert "flood" not in os.listdir(place)
    assert set((await shell(f"ls {place}")).stdout.decode().split()) <= bound_below(place, tmp_path)


@pytest.mark.parametrize("place", ["/", "/dev", "/proc", "/etc", "/usr", "/var"])
async def test_nothing_else_is_writable(shell: Any, place: str) -> None:
    assert (await shell(f"touch {place}/new && echo made")).stdout == b""


async def test_the_processes_inside_are_all_there_are(shell: Any) -> None:
    result = await shell("ls -d /proc/[0-9]*")
    assert len(result.stdout.split()) <= 4


async def test_the_first_process_tells_nothing(shell: Any) -> None:
    result = await shell("tr '\\0' '\\n' < /proc/1/environ; tr '\\0' ' ' < /proc/1/cmdline", environment={"A": "B"})
    assert b"A=B" not in result.stdout
    assert b"--bind" not in result.stdout
