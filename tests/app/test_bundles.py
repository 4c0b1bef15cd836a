"""Bundles: equal bytes from every store, and nothing that was changed gets in."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.bundle_file import open_bundle
from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.adapters.tools.changing import WriteFileTool
from tenuto.app.bundles import export_run, import_bundle
from tenuto.core.ids import Digest, RunId
from tenuto.core.merging import MergePolicy
from tenuto.errors import (
    DamagedStoreError,
    MissingArtifactError,
    NewerStoreError,
    RefusedRequestError,
    TenutoError,
    UsageError,
)
from tenuto.ports.artifacts import ArtifactStore
from tenuto.ports.journal import Journal
from tenuto.runtime.contents import Contents
from tenuto.runtime.imported import is_imported, mark_imported
from tenuto.runtime.loading import load_state
from tenuto.runtime.replay import replay, verify
from tenuto.testing.builders import agent, plan, program, prompt
from tenuto.testing.mixed import mixed_simulation
from tenuto.testing.sim import Simulation

RUN = RunId("team")
LONG = "long " * 8_000


def simulation(seed: int = 0) -> Simulation:
    made = plan(
        prompt("facts", f"Find facts. {LONG}"),
        prompt("work", "Do ${{ item }}", agent="worker", foreach=["a", "b", "c"], needs=["facts"]),
        prompt("sum", "Sum up ${{ steps.work.output }}", needs=["work"]),
    )
    return Simulation(
        made,
        agents=[agent("worker", "write_file", model="mock:worker?tools=1")],
        tools=[WriteFileTool()],
        files={"readme.md": "hello\n", "src/a.py": "a = 1\n"},
        run_id=RUN,
        seed=seed,
    )


async def exported(journal: Journal, artifacts: ArtifactStore, path: Path) -> bytes:
    await export_run(journal, Contents(journal, artifacts), RUN, path, replace=True)
    return path.read_bytes()  # noqa: ASYNC240 - nothing else runs


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    done = simulation()
    assert done.run().status == "ok"
    return asyncio.run(exported(done.journal, done.artifacts, tmp_path_factory.mktemp("b") / "team.tenuto"))


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Journal, ArtifactStore]]:
    if request.param == "memory":
        yield InMemoryJournal(SystemClock()), InMemoryArtifactStore()
        return
    journal = SqliteJournal(tmp_path / "journal.db", SystemClock())
    yield journal, FileArtifactStore(tmp_path / "artifacts")
    await journal.close()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def test_what_was_imported_exports_to_the_same_bytes(
    store: tuple[Journal, ArtifactStore], bundle: bytes, tmp_path: Path
) -> None:
    journal, artifacts = store
    found = await import_bundle(journal, artifacts, written(tmp_path / "in.tenuto", bundle))
    assert (found.run, found.status, found.new, found.bytes) == (RUN, "ok", True, len(bundle))
    assert await exported(journal, artifacts, tmp_path / "out.tenuto") == bundle
    contents = Contents(journal, artifacts)
    assert (await replay(journal, contents, RUN)).identical
    assert (await verify(journal, contents, RUN)).journal_digest == found.head
    assert (await load_state(journal, contents, RUN)).status == "ok"
    assert not (await import_bundle(journal, artifacts, tmp_path / "in.tenuto")).new


def test_a_bundle_has_no_time_place_or_order_of_its_own(bundle: bytes, tmp_path: Path) -> None:
    again = simulation()
    again.run()
    assert asyncio.run(exported(again.journal, again.artifacts, tmp_path / "other name.tenuto")) == bundle


def test_the_first_lines_say_what_it_is(bundle: bytes, tmp_path: Path) -> None:
    opened = open_bundle(written(tmp_path / "b", bundle))
    lines = bundle.split(b"\n", 5)[:5]
    assert lines[0] == b"tenuto bundle 1"
    assert lines[1].decode() == f"head {opened.records[-1].hash}"
    assert lines[2:4] == [b"run team", b"records %d" % len(opened.records)]
    assert list(opened.digests) == sorted(opened.digests)
    opened.close()


async def refused(data: bytes, path: Path, error: type[TenutoError] = DamagedStoreError) -> str:
    journal, artifacts = InMemoryJournal(SystemClock()), InMemoryArtifactStore()
    with pytest.raises(error) as caught:
        await import_bundle(journal, artifacts, written(path, data))
    assert not await journal.runs()
    assert not await artifacts.entries(RUN)
    return str(caught.value)


async def test_every_cut_and_every_changed_byte_is_seen(bundle: bytes, tmp_path: Path) -> None:
    path = tmp_path / "b"
    step = len(bundle) // 25
    for at in range(0, len(bundle), step):
        await refused(bundle[:at], path)
        if not bundle.startswith(b"tenuto bundle ", at - 14):  # another number of the format is a newer one
            await refused(bundle[:at] + bytes([bundle[at] ^ 1]) + bundle[at + 1 :], path)
    assert "goes on" in await refused(bundle + b"\n", path)


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b.replace(b"\nrun team\n", b"\nrun other\n", 1), "records are of run team"),
        (lambda b: b.replace(b"\nrun team\n", b"\nrun ../../etc\n", 1), "does not say its run"),
        (lambda b: b.replace(b"\nrecords ", b"\nrecords 9", 1), "cannot be read|cut off|not the head"),
        (lambda b: b.replace(b"\nrecords ", b"\nrecords 99999999", 1), "counts are impossible"),
        (lambda b: b.replace(b"\nblobs ", b"\nblobs 9", 1), "cut off"),
        (lambda b: b"PK\x03\x04" + b, "no bundle"),
        (lambda _: b"", "no bundle"),
        (lambda b: b + b"\0" * 100, "goes on"),
    ],
)
async def test_what_nobody_exported_is_refused(change: Change, says: str, bundle: bytes, tmp_path: Path) -> None:

    assert re.search(says, await refused(change(bundle), tmp_path / "b"))


async def test_a_newer_format_says_so(bundle: bytes, tmp_path: Path) -> None:
    newer = bundle.replace(b"tenuto bundle 1", b"tenuto bundle 2", 1)
    assert "format 2" in await refused(newer, tmp_path / "b", NewerStoreError)


async def test_a_body_more_or_less_is_refused(bundle: bytes, tmp_path: Path) -> None:
    head, _, rest = bundle.partition(b"\nblobs ")
    count, _, rest = rest.partition(b"\n")
    opened = open_bundle(written(tmp_path / "b", bundle))
    last, length = opened.digests[-1], opened.length(opened.digests[-1])
    opened.close()
    extra = b"zzz"
    while hashlib.sha256(extra).hexdigest() <= last:
        extra += b"z"
    more = b"%b\nblobs %d\n%b%b %d\n%b\n" % (
        head,
        int(count) + 1,
        rest,
        hashlib.sha256(extra).hexdigest().encode(),
        len(extra),
        extra,
    )
    assert "no record names" in await refused(more, tmp_path / "more")
    entry = len(f"{last} {length}\n") + length + 1
    less = b"%b\nblobs %d\n%b" % (head, int(count) - 1, rest[:-entry])
    assert last in await refused(less, tmp_path / "less")


def test_a_size_that_is_claimed_is_not_believed(bundle: bytes, tmp_path: Path) -> None:
    opened = open_bundle(written(tmp_path / "b", bundle))
    first = opened.digests[0].encode()
    length = b" %d\n" % opened.length(opened.digests[0])
    opened.close()
    claimed = bundle.replace(first + length, first + b" 99999999999\n", 1)
    with pytest.raises(DamagedStoreError, match="larger than a bundle may hold"):
        open_bundle(written(tmp_path / "b", claimed))


async def test_another_run_of_that_id_stays(bundle: bytes, tmp_path: Path) -> None:
    journal, artifacts = InMemoryJournal(SystemClock()), InMemoryArtifactStore()
    await import_bundle(journal, artifacts, written(tmp_path / "a", bundle))
    other = await asyncio.to_thread(_other_seed, tmp_path / "b")
    with pytest.raises(RefusedRequestError, match=r"another run team here.*--store"):
        await import_bundle(journal, artifacts, other)
    assert await exported(journal, artifacts, tmp_path / "c") == bundle


def _other_seed(path: Path) -> Path:
    other = simulation(seed=5)
    other.run()
    asyncio.run(exported(other.journal, other.artifacts, path))
    return path


def test_an_unfinished_run_travels_and_is_only_read(tmp_path: Path) -> None:
    whole = simulation()
    whole.run()
    left = simulation()
    assert left.crash_at_append(whole.appends // 2)
    path = tmp_path / "left.tenuto"
    first = asyncio.run(exported(left.journal, left.artifacts, path))
    taken = simulation()

    async def take(_: object) -> None:
        found = await import_bundle(taken.journal, taken.artifacts, path)
        assert found.status == "unfinished"
        assert await is_imported(taken.journal, taken.artifacts, RUN)
        assert (await replay(taken.journal, Contents(taken.journal, taken.artifacts), RUN)).identical

    taken.play(take)
    with pytest.raises(RefusedRequestError, match="imported"):
        taken.resume()
    assert asyncio.run(exported(taken.journal, taken.artifacts, tmp_path / "again")) == first
    assert left.resume().status == "ok"


def test_a_mark_without_its_run_says_nothing(bundle: bytes, tmp_path: Path) -> None:
    """A crash between the mark and the records: a new run of that id is not taken for an imported one."""

    whole = simulation()
    whole.run()
    run = simulation()
    asyncio.run(mark_imported(run.artifacts, RUN, Digest("0" * 64)))
    assert run.crash_at_append(whole.appends // 2)
    assert run.resume().status == "ok"


async def test_what_the_store_lacks_is_not_exported(bundle: bytes, tmp_path: Path) -> None:
    journal = InMemoryJournal(SystemClock())
    await import_bundle(journal, InMemoryArtifactStore(), written(tmp_path / "a", bundle))
    with pytest.raises(MissingArtifactError, match="no b"):
        await exported(journal, InMemoryArtifactStore(), tmp_path / "b")
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(UsageError, match="there already"):
        await export_run(journal, Contents(journal, InMemoryArtifactStore()), RUN, tmp_path / "a")


async def write_one(ctx: Any, inputs: Any) -> Any:
    return await ctx.tool("write_file", path="readme.md", content=f"{inputs['text']}\n")


def clashing() -> Simulation:
    """Two branches change one line, and an agent is asked to settle it, which the mock does not."""
    made = plan(
        program("left", "write_one", values={"text": "left"}),
        program("right", "write_one", values={"text": "right"}),
        prompt("join", "Sum up", needs=["left", "right"]),
        merge=MergePolicy(kind="agent", agent="worker"),
    )
    return Simulation(
        made,
        agents=[agent("worker", "write_file", model="mock:quiet")],
        tools=[WriteFileTool()],
        functions={"write_one": write_one},
        files={"readme.md": "hello\n"},
        run_id=RUN,
    )


@pytest.mark.parametrize(
    "made", [clashing, lambda: mixed_simulation(run_id=RUN), lambda: Simulation(plan(prompt("a")), run_id=RUN)]
)
def test_all_that_runs_hold_travels(made: Callable[[], Simulation], tmp_path: Path) -> None:
    """Merges that an agent is asked about, programs, tools; a run whose registry is as empty as its inputs."""
    first = made()
    first.run()
    path = tmp_path / "a"
    before = asyncio.run(exported(first.journal, first.artifacts, path))
    other = made()
    other.play(lambda _: import_bundle(other.journal, other.artifacts, path))
    assert asyncio.run(exported(other.journal, other.artifacts, tmp_path / "b")) == before
    state = other.play(lambda engine: load_state(other.journal, engine.contents, RUN))
    assert state.ended
    trees = {step.tree for step in state.steps.values() if step.tree} | {state.tree}

    async def files(engine: Any) -> list[str]:
        return [entry.path for tree in trees for entry in await (await engine.workspace.edit(tree)).entries()]

    assert other.play(files) == first.play(files)
