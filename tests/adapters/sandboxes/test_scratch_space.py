"""The private places of a bubblewrap sandbox."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
async def test_scratch_is_bounded_private_and_gone(shell: Any, place: str) -> None:
    result = await shell(f"head -c 400000000 /dev/zero > {place}/flood; ls -s {place}/flood")
    assert b"No space left" in result.stderr
    assert "flood" not in os.listdir(place)
    assert (await shell(f"ls {place}")).stdout.strip() in (b"", b"pytest-of-root")


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
