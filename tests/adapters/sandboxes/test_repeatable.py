"""Repeatable commands: two runs of one give the same bytes, other commands do not, and nobody pretends."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.sandboxes.finding import Preference, find_sandbox, require_repetition
from tenuto.core.canonical import digest
from tenuto.core.repetition import Repetition
from tenuto.errors import SandboxUnavailableError
from tenuto.ports.tools import Sandbox, SandboxResult

Shell = Callable[..., Coroutine[Any, Any, SandboxResult]]

pytestmark = pytest.mark.sandbox
MOMENT = 1_767_225_600
GIVEN = Repetition(clock_s=MOMENT, seed=digest(b"one"))
PROBES = {
    "clock": "date +%s.%N",
    "clocks": "python -c 'import time; print(time.time_ns(), time.monotonic_ns(), time.perf_counter_ns())'",
    "chance": "python -c 'import random, uuid, secrets; print(random.random(), uuid.uuid4(), secrets.token_hex())'",
    "devices": "head -c 20 /dev/urandom | od -x; head -c 3000000 /dev/random | cksum",
    "uuid of the kernel": "cat /proc/sys/kernel/random/uuid",
    "temporary names": "mktemp -u; python -c 'import tempfile; print(tempfile.mktemp())'",
    "addresses": "python -c 'print(id(object()), object())'",
    "place": "pwd",
    "times of files": "echo new > made; stat -c '%y %z' made; tar c made | cksum",
    "file numbers": "stat -c %i one two; ls -i",
    "others side by side": (
        "for i in 1 2 3 4; do python -c 'import os; print(os.urandom(4).hex())' > out$i & done; wait; cat out*"
    ),
}


@pytest.fixture
def twice(shell: Shell, tree: Path) -> Callable[..., Coroutine[Any, Any, list[SandboxResult]]]:
    """The same script in trees of equal files that were made in other orders."""

    async def run(script: str, *given: Repetition | None) -> list[SandboxResult]:
        results = []
        for number, repetition in enumerate(given):
            _make_anew(tree, random.Random(number))
            results.append(await shell(script, repetition=repetition))
        return results

    return run


def _make_anew(tree: Path, order: random.Random) -> None:
    for old in tree.iterdir():
        old.unlink()
    names = ["one", "two", *(f"file{i}" for i in range(12))]
    order.shuffle(names)
    for name in names:
        (tree / name).write_text(name)


@pytest.mark.parametrize("what", PROBES)
async def test_it_gives_the_same_bytes_and_without_being_asked_others(what: str, twice: Any) -> None:
    script = f"export LC_ALL=C TZ=UTC; {PROBES[what]}"
    first, second, without, again = await twice(script, GIVEN, GIVEN, None, None)
    assert (first.exit_code, first.stderr) == (0, b"")
    assert first.stdout == second.stdout
    if what != "place":  # the same tree is used twice here
        assert without.stdout != again.stdout


async def test_another_seed_gives_other_numbers_and_the_same_time(twice: Any) -> None:
    other = Repetition(clock_s=MOMENT, seed=digest(b"two"))
    first, second = await twice("date +%s; python -c 'import uuid; print(uuid.uuid4())'", GIVEN, other)
    assert first.stdout.split()[0] == second.stdout.split()[0] == str(MOMENT).encode()
    assert first.stdout != second.stdout


async def test_directories_are_listed_by_name(twice: Any) -> None:
    (listed,) = await twice("rm file*; touch c a b; ls -U; python -c 'import os; print(os.listdir())'; find .", GIVEN)
    assert listed.stdout.decode().split("\n")[:5] == ["a", "b", "c", "one", "two"]
    assert "['a', 'b', 'c', 'one', 'two']" in listed.stdout.decode()
    assert listed.stdout.decode().splitlines()[-6:] == [".", "./a", "./b", "./c", "./one", "./two"]


async def test_a_large_directory_is_whole_and_can_be_read_again(shell: Shell) -> None:
    script = (
        "import os\n"
        "for i in range(3000): open(f'{(i * 7919) % 3000:04}', 'w').close()\n"
        "assert os.listdir() == sorted(os.listdir()) and len(os.listdir()) == 3000\n"
        "with os.scandir() as found: next(found)\n"
        "assert len(os.listdir()) == 3000\n"
    )
    result = await shell(f'python -c "{script}"', repetition=GIVEN)
    assert (result.exit_code, result.stderr) == (0, b"")


async def test_waiting_moves_the_clock_by_what_was_asked(shell: Shell) -> None:
    script = (
        "import asyncio, queue, select, time\n"
        "begun = time.monotonic_ns()\n"
        "time.sleep(0.1); select.select([], [], [], 0.2); asyncio.run(asyncio.sleep(0.05))\n"
        "try: queue.Queue().get(timeout=0.1)\n"
        "except queue.Empty: pass\n"
        "print(round((time.monotonic_ns() - begun) / 1e6), time.time())\n"
    )
    first = await shell(f"python -c '{script}'; date +%s.%N; sleep 1; date +%s", repetition=GIVEN)
    second = await shell(f"python -c '{script}'; date +%s.%N; sleep 1; date +%s", repetition=GIVEN)
    assert (first.exit_code, first.stderr) == (0, b"")
    assert first.stdout.split()[0] == b"450"
    assert first.stdout.split()[-1] == str(MOMENT + 1).encode()
    assert first.stdout == second.stdout


async def test_who_waits_for_the_clock_by_reading_it_gets_there(shell: Shell) -> None:
    result = await shell(
        "python -c 'import time\nend = time.time() + 0.5\nwhile time.time() < end: pass'", repetition=GIVEN
    )
    assert (result.exit_code, result.ended) == (0, "exit")


async def test_threads_signals_and_exit_codes_are_as_ever(shell: Shell) -> None:
    script = (
        "import os, signal, subprocess, sys, threading\n"
        "found = []\n"
        "threads = [threading.Thread(target=found.append, args=(i,)) for i in range(20)]\n"
        "[one.start() for one in threads]; [one.join(5) for one in threads]\n"
        "assert len(found) == 20\n"
        "signal.signal(signal.SIGUSR1, lambda *_: found.append(0)); os.kill(os.getpid(), signal.SIGUSR1)\n"
        "assert len(found) == 21\n"
        "assert subprocess.run([sys.executable, chr(45) + chr(99), chr(49) + chr(47) + chr(48)], "
        "stderr=subprocess.DEVNULL).returncode == 1\n"
        "child = subprocess.Popen([chr(115) + 'leep', '60']); child.send_signal(signal.SIGSTOP)\n"
        "child.kill(); assert child.wait() == -9\n"
        "sys.exit(7)\n"
    ).replace("'", '"')
    assert (await shell(f"python -c '{script}'", repetition=GIVEN)).exit_code == 7
    assert (await shell("kill -9 $$", repetition=GIVEN)).exit_code == -9
    assert (await shell("cat", repetition=GIVEN, standard_input=b"given")).stdout == b"given"


async def test_nothing_is_left_running_and_time_limits_hold(shell: Shell) -> None:
    result = await shell("sleep 60 & echo left", repetition=GIVEN)
    assert (result.ended, result.stdout) == ("exit", b"left\n")
    assert (await shell("sleep 60", repetition=GIVEN, timeout_us=500_000)).ended == "timeout"


@pytest.mark.parametrize("kind", ["bubblewrap"])
async def test_bubblewrap_can(sandbox: Sandbox) -> None:
    await require_repetition(sandbox)


@pytest.mark.parametrize("name", ["sandlock", "none"])
async def test_others_refuse_and_say_what_to_install(name: Preference) -> None:
    try:
        sandbox = await find_sandbox(name)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    with pytest.raises(SandboxUnavailableError, match="bubblewrap") as caught:
        await require_repetition(sandbox)
    assert caught.value.exit_code == 2
