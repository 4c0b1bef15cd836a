"""Limits of a command: time, output, memory, processes, file size; and how its end is told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tenuto.errors import UsageError

pytestmark = [pytest.mark.sandbox, pytest.mark.parametrize("kind", ["bubblewrap", "sandlock", "none"])]


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", -9)])
async def test_exit_codes(shell: Any, script: str, code: int) -> None:
    result = await shell(script)
    assert (result.exit_code, result.ended) == (code, "exit")


async def test_a_program_that_is_not_there(shell: Any) -> None:
    result = await shell("no-such-program-anywhere")
    assert result.exit_code == 127
    assert b"no-such-program-anywhere" in result.stderr


async def test_standard_input(shell: Any) -> None:
    data = bytes(range(256)) * 4_000
    result = await shell("cat", standard_input=data)
    assert result.stdout == data
    assert (await shell("cat; wc -c")).stdout.strip() == b"0"
    assert (await shell("exit 3", standard_input=data)).exit_code == 3


async def test_both_streams_are_kept_apart_and_bounded(shell: Any) -> None:
    result = await shell("head -c 300000 /dev/zero; head -c 250000 /dev/zero >&2", output_bytes_max=100_000)
    assert len(result.stdout) == len(result.stderr) == 100_000
    assert result.dropped_bytes == 350_000
    assert result.exit_code == 0


async def test_an_endless_flood_ends_at_the_timeout_and_others_go_on(shell: Any) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.ensure_future(beat())
    result = await shell("yes & yes >&2", timeout_us=500_000, output_bytes_max=10_000)
    beating.cancel()
    assert result.ended == "timeout"
    assert (len(result.stdout), len(result.stderr)) == (10_000, 10_000)
    assert result.dropped_bytes > 0
    assert beats > 5


async def test_a_background_child_that_holds_the_pipe_does_not_keep_the_call_open(shell: Any) -> None:
    result = await shell("sleep 3600 & echo done")
    assert (result.stdout, result.ended) == (b"done\n", "exit")


async def test_memory_of_one_process(shell: Any) -> None:
    result = await shell("python -c 'x = b\"x\" * (1 << 30); print(len(x))'", memory_bytes_max=256 << 20)
    assert result.stdout == b""
    assert result.exit_code != 0


async def test_memory_of_all_processes_together(shell: Any) -> None:
    hog = "python -c 'import time; x = bytearray(150 << 20); print(1, flush=True); time.sleep(2)'"
    result = await shell(f"{hog} & {hog} & {hog} & {hog} & wait", memory_bytes_max=300 << 20)
    assert result.stdout.count(b"1") < 4


MANY_PROCESSES = (
    "import os, time\n"
    "for _ in range(200):\n"
    "    if os.fork() == 0:\n"
    "        time.sleep(5)\n"
    "        os._exit(0)\n"
    "for _ in range(200):\n"
    "    os.wait()\n"
    "print('all')\n"
)
MANY_THREADS = (
    "import threading, time\n"
    "threads = [threading.Thread(target=time.sleep, args=(5,), daemon=True) for _ in range(200)]\n"
    "for thread in threads:\n"
    "    thread.start()\n"
    "for thread in threads:\n"
    "    thread.join()\n"
    "print('all')\n"
)
"""Bounded on purpose: a program that forks without end takes the machine with it where a limit does not hold."""


@pytest.fixture
def mark() -> Iterator[str]:
    """An argument that only processes of this test have. Their groups are killed at its end, whatever happened."""
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    try:
        yield mark
    finally:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                group = os.getpgid(pid)
                if group != os.getpgrp():
                    os.killpg(group, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> list[int]:
    """Processes of this machine that have `mark` among their arguments."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and pid != os.getpid():
                found.append(pid)
    return found


@pytest.mark.parametrize("script", [MANY_PROCESSES, MANY_THREADS], ids=["processes", "threads"])
async def test_too_many_at_once(shell: Any, mark: str, script: str) -> None:
    result = await shell(f'python -c "{script}" {mark}', processes_max=40, timeout_us=15_000_000)
    assert b"all" not in result.stdout
    assert result.ended == "exit"
    assert result.exit_code != 0
    assert not marked(mark)


async def test_as_many_as_allowed(shell: Any, mark: str) -> None:
    script = MANY_PROCESSES.replace("200", "20").replace("sleep(5)", "sleep(0.2)")
    result = await shell(f'python -c "{script}" {mark}', processes_max=40)
    assert (result.stdout, result.exit_code) == (b"all\n", 0), result.stderr


async def test_file_size(shell: Any, tree: Path) -> None:
    result = await shell("head -c 5000000 /dev/zero > big; echo $?", file_bytes_max=1 << 20)
    assert (tree / "big").stat().st_size == 1 << 20
    assert result.stdout.strip() != b"0"


async def test_open_files(shell: Any, kind: str) -> None:
    result = await shell("python -c 'f = [open(\"/dev/null\") for _ in range(2000)]'")
    # Under sandlock another process opens files, and has no descriptor to give.
    assert (b"Permission denied" if kind == "sandlock" else b"Too many open files") in result.stderr


async def test_no_core_files(shell: Any) -> None:
    assert (await shell("ulimit -c")).stdout == b"0\n"


async def test_a_nul_in_a_variable_cannot_become_an_option(shell: Any, kind: str) -> None:
    with pytest.raises((UsageError, ValueError)):
        await shell("cat /etc/shadow", environment={"X": "a\0--ro-bind\0/etc/shadow\0/etc/shadow"})
    assert kind


async def test_many_at_once(shell: Any) -> None:
    results = await asyncio.gather(*(shell(f"echo {n}; echo {n} >&2") for n in range(8)))
    assert [result.stdout for result in results] == [f"{n}\n".encode() for n in range(8)]
    assert [result.stderr for result in results] == [f"{n}\n".encode() for n in range(8)]
