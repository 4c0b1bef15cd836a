"""Nothing of a command is left: not after its end, a timeout, a cancellation, nor after kill -9 of the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.sandboxes.launching import LAUNCH
from tenuto.adapters.sandboxes.orphans import end_orphans

pytestmark = [pytest.mark.sandbox, pytest.mark.parametrize("kind", ["bubblewrap", "sandlock", "none"])]

CHILDREN = {
    "plain": "sleep {mark} & sleep {mark} & wait",
    "new session": "setsid sleep {mark} >/dev/null 2>&1 </dev/null & wait",
    "ignores TERM": "trap '' TERM HUP INT; sleep {mark}; sleep {mark}",
    "double fork": "(setsid sh -c 'sleep {mark} & exit 0' >/dev/null 2>&1 &) ; sleep {mark}",
    "stopped": "sh -c 'kill -STOP $$' {mark} & wait",
}

ENGINE = """
import asyncio, sys
from tenuto.adapters.sandboxes.finding import find_sandbox
from tenuto.adapters.sandboxes.places import search_path
from tenuto.ports.tools import SandboxCommand
async def main():
    sandbox = await find_sandbox(sys.argv[1])
    await sandbox.run(SandboxCommand(argv=("/bin/sh", "-c", sys.argv[3]), directory=sys.argv[2],
                                     environment={"PATH": search_path()}, timeout_us=100_000_000))
asyncio.run(main())
"""


@pytest.fixture
def mark() -> str:
    """An argument of `sleep` that no other process has."""
    return f"3600.{os.getpid()}{time.monotonic_ns()}"


def alive(mark: str) -> list[int]:
    """Processes of this machine with the mark in their arguments, sh and bwrap included, zombies left out."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def started(mark: str) -> bool:
    """Whether a child of the script runs: its last argument is the mark, unlike those of shells and sandboxes."""
    for pid in alive(mark):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(f"\0{mark}\0".encode()):
                return True
    return False


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


async def until_async(condition: Callable[[], bool]) -> bool:
    return await asyncio.to_thread(until, condition)


@pytest.mark.parametrize("children", CHILDREN)
def test_kill_9_of_the_engine(children: str, kind: str, sandbox: object, tree: Path, mark: str) -> None:
    del sandbox  # only whether there is one
    script = CHILDREN[children].format(mark=mark)
    engine = subprocess.Popen([sys.executable, "-c", ENGINE, kind, str(tree), script], start_new_session=True)
    try:
        assert until(lambda: started(mark)), "the command never started"
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        assert until(lambda: not alive(mark)), alive(mark)
    finally:
        engine.kill()
        engine.wait()


@pytest.mark.parametrize("children", CHILDREN)
async def test_a_timeout(children: str, shell: Any, mark: str) -> None:
    result = await shell(CHILDREN[children].format(mark=mark), timeout_us=250_000)
    assert result.ended == "timeout"
    assert result.exit_code < 0
    assert not alive(mark)


async def test_a_cancellation(shell: Any, mark: str) -> None:
    running = asyncio.ensure_future(shell(CHILDREN["new session"].format(mark=mark)))
    assert await until_async(lambda: started(mark))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not alive(mark)


async def test_a_second_cancellation_does_not_leave_it_behind(shell: Any, mark: str) -> None:
    running = asyncio.ensure_future(shell(CHILDREN["plain"].format(mark=mark)))
    assert await until_async(lambda: started(mark))
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not alive(mark)


async def test_cancelled_before_it_began(shell: Any, mark: str) -> None:
    running = asyncio.ensure_future(shell(CHILDREN["plain"].format(mark=mark)))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not alive(mark)


@pytest.mark.parametrize("after_ms", [1, 2, 3, 4, 5, 6, 8, 10, 15, 20])
async def test_cancelled_while_the_sandbox_is_made(shell: Any, mark: str, after_ms: int) -> None:
    begun = time.monotonic()
    running = asyncio.ensure_future(shell(CHILDREN["plain"].format(mark=mark)))
    await asyncio.sleep(after_ms / 1_000)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not alive(mark)
    assert time.monotonic() - begun < 15


async def test_children_left_behind_by_a_command_that_ended(shell: Any, mark: str) -> None:
    result = await shell(f"setsid sleep {mark} & (setsid sleep {mark} >/dev/null 2>&1 &); echo done")
    assert result.stdout == b"done\n"
    assert result.exit_code == 0
    assert not alive(mark)


def test_a_sandbox_that_was_never_finished_is_ended_by_the_next_engine(kind: str, mark: str, tmp_path: Path) -> None:
    """The first process of a bwrap that was killed while it made the namespace: an orphan that has its arguments.

    The next engine may be another one of this machine: a test that runs beside this one, say.
    """
    if kind != "bubblewrap":
        pytest.skip("only bwrap has such a moment")
    waiting = ["/usr/bin/bwrap", "-c", "import time; time.sleep(60)", LAUNCH, mark]
    orphan = f"import os; os.fork() and os._exit(0); os.execv({sys.executable!r}, {waiting!r})"
    with (tmp_path / "said").open("wb") as said:
        subprocess.run([sys.executable, "-c", orphan], check=True, stdin=subprocess.DEVNULL, stderr=said, timeout=20)

    def ended() -> bool:
        end_orphans()
        return not alive(mark)

    assert until(ended)
    assert not (tmp_path / "said").read_text(), "it ended by itself"
