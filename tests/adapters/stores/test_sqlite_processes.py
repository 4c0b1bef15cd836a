"""Real processes on one store: killed, stopped, and racing."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores import sqlite_sessions
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.core.ids import RunId
from tenuto.errors import FencedError, StorageError
from tenuto.ports.journal import Fence, Head, Session
from tenuto.testing.contracts.journal import RUN, chained, head_of, read_all, refused, started

PRELUDE = """
import asyncio, sys
from pathlib import Path
from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.core.ids import RunId
from tenuto.errors import AccountChangedError, FencedError, TenutoError
from tenuto.ports.journal import Grant
from tenuto.testing.contracts.journal import RUN, chained, head_of, started

def say(*words):
    print(*words, flush=True)

def journal(**options):
    return SqliteJournal(Path(sys.argv[1]), SystemClock(), **options)
"""

# Appends without end to several runs at once, and says what was acknowledged.
ENDLESS = (
    PRELUDE
    + """
async def write(store, session, name, alone):
    run, batch = RunId(name), chained(2, label=name)
    fence = await store.create(run, session, batch, {})
    while True:
        say(name, batch[-1].seq)
        after = head_of(batch)
        batch = chained(3, after=after, label=name)
        await store.append(fence, after, batch, {}, alone=alone)

async def main():
    store = journal()
    session = await store.open_session("w")
    await asyncio.gather(*(write(store, session, f"run-{n}", n == 0) for n in range(3)))

asyncio.run(main())
"""
)

# Gives with every append of one run, and makes runs that together want to take more than is given.
GIVING = (
    PRELUDE
    + """
async def give(store, session):
    batch = chained(1)
    fence = await store.create(RUN, session, batch, {})
    while True:
        after = head_of(batch)
        batch = chained(1, after=after)
        await store.append(fence, after, batch, {}, gives=Grant(RUN, {"tokens": 5}))
        say(await account(store))

async def take(store, session, name):
    number = 0
    while True:
        try:
            await store.create(RunId(f"{name}{number}"), session, chained(1), {}, takes=Grant(RUN, {"tokens": 3}))
            number += 1
        except AccountChangedError:
            await asyncio.sleep(0.001)

async def account(store):
    return (await store.account(RUN))["tokens"]

async def main():
    store = journal()
    session = await store.open_session("w")
    await asyncio.gather(give(store, session), take(store, session, "a"), take(store, session, "b"))

asyncio.run(main())
"""
)

# Owns a run; appends when told to.
OBEDIENT = (
    PRELUDE
    + """
async def main():
    store = journal(lease_ttl_us=int(sys.argv[2]))
    session, fence, batch = await started(store)
    say("ready")
    while sys.stdin.readline():
        after = head_of(batch)
        batch = chained(1, after=after)
        try:
            await store.append(fence, after, batch, {}, alone=True)
            say("done")
        except TenutoError as error:
            say(type(error).__name__)

asyncio.run(main())
"""
)

# Looks at the store and goes.
PASSER_BY = (
    PRELUDE
    + """
async def main():
    store = journal()
    say(len(await store.runs()))
    await store.close()

asyncio.run(main())
"""
)

# Claims a run when told to, then holds it until its input ends.
CLAIMANT = (
    PRELUDE
    + """
async def main():
    store = journal()
    session = await store.open_session("w")
    say("ready")
    sys.stdin.readline()
    try:
        fence, head = await store.claim(RUN, session)
        say("won", fence.epoch)
    except FencedError:
        say("lost")
    sys.stdin.readline()

asyncio.run(main())
"""
)


class Child:
    def __init__(self, script: str, *arguments: object) -> None:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def line(self) -> str:
        return self.stdout.readline().strip()

    def tell(self) -> None:
        self.stdin.write("go\n")
        self.stdin.flush()

    def kill(self) -> list[str]:
        """kill -9, and what it had said until then."""
        self.process.kill()
        said = self.stdout.read().splitlines()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()
        return said


@pytest.fixture
def children() -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for child in children:
        if not child.stdout.closed:
            child.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(path, SystemClock())
    yield journal
    await journal.close()


async def check_nothing_lost(journal: SqliteJournal, said: list[str]) -> None:
    acknowledged: dict[str, int] = {}
    for line in said:
        words = line.split()
        acknowledged[words[0]] = int(words[1])
    for name, seq in acknowledged.items():
        records = await read_all(journal, RunId(name))
        assert [record.seq for record in records] == list(range(len(records)))
        assert records == chained(2, label=name) + chained(
            len(records) - 2, after=head_of(chained(2, label=name)), label=name
        )
        assert records[-1].seq >= seq, f"{name} lost acknowledged records"
        assert (records[-1].seq - 1) % 3 == 0, f"{name} holds part of a batch"


@pytest.mark.parametrize("lines", [1, 40, 200])
async def test_what_a_killed_writer_was_promised_is_there(
    path: Path, journal: SqliteJournal, children: list[Child], lines: int
) -> None:
    writer = Child(ENDLESS, path)
    children.append(writer)
    said = [writer.line() for _ in range(lines)]
    said += writer.kill()
    await check_nothing_lost(journal, [line for line in said if len(line.split()) == 2])
    # Its lock died with it: no waiting for the lease.
    fence, head = await journal.claim(RunId(said[0].split()[0]), await journal.open_session("w"))
    assert fence.epoch == 2
    await journal.append(fence, head, chained(1, after=head), {})


@pytest.mark.battery
async def test_many_kills_of_many_writers(tmp_path: Path, children: list[Child]) -> None:
    for n in range(40):
        path = tmp_path / f"{n}.db"
        writer = Child(ENDLESS, path)
        children.append(writer)
        said = [writer.line() for _ in range(1 + n * 7)]
        said += writer.kill()
        journal = SqliteJournal(path, SystemClock())
        await check_nothing_lost(journal, [line for line in said if len(line.split()) == 2])
        await journal.close()


@pytest.mark.parametrize("lines", [1, 30, 150])
async def test_a_killed_giver_has_given_what_its_records_say(
    path: Path, journal: SqliteJournal, children: list[Child], lines: int
) -> None:
    giver = Child(GIVING, path)
    children.append(giver)
    for _ in range(lines):
        assert giver.line()
    giver.kill()
    given = 5 * (await journal.head(RUN)).seq
    taken = 3 * (len(await journal.runs()) - 1)
    assert given >= 5 * lines
    assert await journal.account(RUN) == {"tokens": given - taken}


async def claim_when_lapsed(journal: SqliteJournal, session: Session) -> tuple[Fence, Head]:
    while True:
        try:
            return await journal.claim(RUN, session)
        except FencedError:
            await asyncio.sleep(0.02)


async def test_a_process_that_slept_past_its_lease_is_refused(
    path: Path, journal: SqliteJournal, children: list[Child]
) -> None:
    sleeper = Child(OBEDIENT, path, 300_000)
    children.append(sleeper)
    assert sleeper.line() == "ready"
    sleeper.tell()
    assert sleeper.line() == "done"
    session = await journal.open_session("w")
    await refused(FencedError, journal.claim(RUN, session))

    sleeper.process.send_signal(signal.SIGSTOP)
    fence, head = await claim_when_lapsed(journal, session)  # it still holds its lock: only its lease can run out
    assert (fence.epoch, head.seq) == (2, 1)
    sleeper.process.send_signal(signal.SIGCONT)
    sleeper.tell()
    assert sleeper.line() == "FencedError"
    await journal.append(fence, head, chained(1, after=head), {})
    assert len(await read_all(journal)) == 3


async def test_processes_that_race_for_a_run_have_one_winner(
    path: Path, journal: SqliteJournal, children: list[Child]
) -> None:
    owner = Child(OBEDIENT, path, 60_000_000)
    children.append(owner)
    assert owner.line() == "ready"
    rivals = [Child(CLAIMANT, path) for _ in range(2)]
    children.extend(rivals)
    assert [rival.line() for rival in rivals] == ["ready", "ready"]
    owner.kill()
    for rival in rivals:
        rival.tell()
    assert sorted(rival.line() for rival in rivals) == ["lost", "won 2"]
    assert [entry.owned for entry in await journal.runs()] == [True]


async def test_two_processes_create_one_store(path: Path, children: list[Child]) -> None:
    writers = [Child(ENDLESS.replace("run-", f"w{n}-"), path) for n in range(3)]
    children.extend(writers)
    said = [line for writer in writers for line in (writer.line(), writer.line())]
    for writer in writers:
        said += writer.kill()
    journal = SqliteJournal(path, SystemClock())
    await check_nothing_lost(journal, [line for line in said if len(line.split()) == 2])
    assert len(await journal.runs()) >= 3
    await journal.close()


async def test_others_that_come_and_go_take_no_log_away(
    path: Path, journal: SqliteJournal, children: list[Child]
) -> None:
    """Whoever closes the store last removes its log; to know, it relies on locks that a process can lose unawares."""
    _, fence, records = await started(journal)
    neighbour = SqliteJournal(path, SystemClock())
    assert await read_all(journal) == await read_all(neighbour) == records
    await neighbour.close()
    for _ in range(2):
        children.append(Child(PASSER_BY, path))
        assert children[-1].line() == "1"
        assert children[-1].process.wait() == 0
        batch = chained(2, after=head_of(records))
        await journal.append(fence, head_of(records), batch, {})
        records += batch
    await journal.close()
    again = SqliteJournal(path, SystemClock())
    assert await read_all(again) == records
    await again.close()


async def test_a_stopped_owner_is_alive_and_a_killed_one_is_dead(
    path: Path, journal: SqliteJournal, children: list[Child]
) -> None:
    owner = Child(OBEDIENT, path, 60_000_000)
    children.append(owner)
    assert owner.line() == "ready"
    session = await journal.open_session("w")
    owner.process.send_signal(signal.SIGSTOP)
    await refused(FencedError, journal.claim(RUN, session))
    owner.kill()
    assert (await journal.claim(RUN, session))[0].epoch == 2


@pytest.mark.parametrize("closing", ["journal", "session"])
async def test_a_session_that_could_not_sign_off_is_dead_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, closing: str
) -> None:
    """As on a full disk: its row stays, and must not keep the run from others until the lease ends."""
    failing = SqliteJournal(path, SystemClock(), lease_ttl_us=3_600_000_000)
    session, _, _ = await started(failing)

    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_sessions, "_leave", full)
        if closing == "session":
            await refused(StorageError, session.close())
        await failing.close()
    again = SqliteJournal(path, SystemClock())
    assert [entry.owned for entry in await again.runs()] == [False]
    assert (await again.claim(RUN, await again.open_session("w")))[0].epoch == 2
    await again.close()


async def test_a_session_that_signed_off_leaves_no_file(path: Path) -> None:
    journal = SqliteJournal(path, SystemClock())
    session, _, _ = await started(journal)
    await journal.open_session("other")
    await session.close()
    await journal.close()
    assert list(path.with_name("journal.db.sessions").iterdir()) == []


async def test_a_session_file_tidied_away_does_not_kill_its_session(path: Path, journal: SqliteJournal) -> None:
    session, _, _ = await started(journal)
    (path.with_name("journal.db.sessions") / session.name).unlink()
    rival = SqliteJournal(path, SystemClock())
    await refused(FencedError, rival.claim(RUN, await rival.open_session("w")))
    await rival.close()
