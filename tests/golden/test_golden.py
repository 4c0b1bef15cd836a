"""Journals of every released format replay for ever, on every Python, under every hash seed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.app.bundles import export_run, import_bundle
from tenuto.core import records as records_module
from tenuto.core import upcasting
from tenuto.core.events.run import RunEnded
from tenuto.core.events.step import StepStarted
from tenuto.core.ids import Digest, RunId
from tenuto.core.logic import LOGIC_VERSION
from tenuto.core.records import GENESIS, decode
from tenuto.core.spec import RunSpec
from tenuto.ports.clock import Clock
from tenuto.ports.journal import NO_HEAD, Head, StoredRecord
from tenuto.runtime.contents import Contents
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.loading import checked, fold, load_records, load_spec, load_state
from tenuto.runtime.replay import replay, replay_against, verify
from tenuto.testing.clock import ManualClock

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("v*/*.jsonl"))
FOLD = """
import sys
sys.path.insert(0, {here!r})
import asyncio, test_golden
for path in test_golden.FILES:
    print(path.name, asyncio.run(test_golden.digest_of_state(path)))
"""


def read(path: Path) -> tuple[dict[Digest, bytes], list[StoredRecord]]:
    first, *lines = path.read_bytes().splitlines()
    blobs = {Digest(name): base64.b64decode(body) for name, body in json.loads(first)["blobs"].items()}
    prev, rows = GENESIS, []
    for seq, line in enumerate(lines):
        record = decode(line)
        row = StoredRecord(seq, record.hash, line)
        checked(RunId(path.stem), row, prev, seq)
        prev = record.hash
        rows.append(row)
    return blobs, rows


async def opened(
    path: Path, *, rows: int | None = None, clock: Clock | None = None
) -> tuple[InMemoryJournal, Contents, RunId]:
    """The journal of a file in a store, or its first records."""
    blobs, stored = read(path)
    stored = stored[:rows]
    journal = InMemoryJournal(clock or ManualClock())
    run = RunId(path.stem)
    session = await journal.open_session("test")
    fence = await journal.create(run, session, stored[:1], blobs)
    if stored[1:]:
        await journal.append(fence, Head(0, stored[0].hash), stored[1:], {})
    await session.close()
    return journal, Contents(journal, InMemoryArtifactStore()), run


async def digest_of_state(path: Path) -> str:
    journal, contents, run = await opened(path)
    state = await load_state(journal, contents, run)
    return f"{state.result} {state.head} {state.spent}"


@pytest.mark.parametrize("logic", range(1, LOGIC_VERSION + 1))
async def test_there_are_golden_journals_of_every_logic(logic: int) -> None:
    files = {path.stem: path for path in FILES if path.parent.name == f"v{logic}"}
    assert files.keys() >= {"team", "python", "budget", "crash", "language", "items"}
    for path in files.values():
        journal, contents, run = await opened(path)
        assert (await load_state(journal, contents, run)).logic == logic


@pytest.mark.parametrize("path", [p for p in FILES if p.stem == "items"], ids=lambda path: path.parent.name)
async def test_what_a_logic_changed_shows_under_another_one(path: Path) -> None:
    """The same journal under the other branch: replay would see it."""
    journal, contents, run = await opened(path)
    spec = await load_spec(contents, decode(read(path)[1][0].body))
    same = RunSpec(spec.plan, spec.registry, spec.lock, spec.logic)
    assert (await replay_against(journal, contents, run, same)).divergence is None
    other = RunSpec(spec.plan, spec.registry, spec.lock, 3 - spec.logic)
    found = (await replay_against(journal, contents, run, other)).divergence
    assert found is not None
    assert found.what == "StepExpanded differs in share"
    assert ("model_calls" in found.recorded["share"]) == (spec.logic == 2)


@pytest.mark.parametrize("path", [p for p in FILES if p.stem == "items"], ids=lambda path: path.parent.name)
async def test_a_run_that_an_older_tenuto_left_ends_as_it_would_have_there(path: Path, tmp_path: Path) -> None:
    """Its start only, resumed today: the result is that of the golden journal, by the logic of the start."""
    _, rows = read(path)
    clock = SystemClock()
    journal, _, run = await opened(path, rows=1, clock=clock)
    engine = PlanExecutionEngine(
        journal=journal,
        artifacts=InMemoryArtifactStore(),
        models=LocalMockAdapter(clock=clock),
        tools=Toolbox([]),
        workspace=lambda blobs: TreeWorkspace(blobs, tmp_path),
        clock=clock,
    )
    state = await engine.resume(run)
    await engine.close()
    ended = decode(rows[-1].body).event
    assert isinstance(ended, RunEnded)
    assert state.result == ended.result


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_golden_journal_verifies_and_replays(path: Path) -> None:
    journal, contents, run = await opened(path)
    report = await replay(journal, contents, run)
    assert report.divergence is None
    assert report.identical
    verified = await verify(journal, contents, run)
    assert verified.records == report.events > 5
    _, records = await load_records(journal, contents, run)
    state = fold(await load_spec(contents, records[0]), records)
    last = records[-1].event
    assert isinstance(last, RunEnded)
    assert state.result == last.result
    assert state.status == "ok"
    assert (await journal.head(run)) != NO_HEAD


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_derived_records_of_an_older_version_replay_where_their_lift_says_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the next tenuto wrote StepStarted in version 2."""
    newer = {StepStarted: records_module._TEMPLATE[StepStarted].replace(b'"version":1', b'"version":2')}
    monkeypatch.setattr(records_module, "_TEMPLATE", records_module._TEMPLATE | newer)
    monkeypatch.setattr(records_module, "_NEWEST", {**records_module._NEWEST, StepStarted: 2})
    journal, contents, run = await opened(path)
    for lift, same in ((dict, True), (lambda fields: {**fields, "attempt": msgspec.Raw(b"9")}, False)):
        monkeypatch.setattr(upcasting, "LIFTS", {**upcasting.LIFTS, "StepStarted": (lift,)})
        report = await replay(journal, contents, run)
        assert report.identical == same
        if not same:
            assert report.divergence is not None
            assert report.divergence.what == "StepStarted differs in attempt"


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_the_fold_does_not_depend_on_the_hash_seed(seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    script = FOLD.format(here=str(HERE))
    run = [sys.executable, "-c", script]
    here = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    again = subprocess.run(
        run, env={**os.environ, "PYTHONHASHSEED": "99"}, capture_output=True, text=True, check=True
    )
    assert here.stdout == again.stdout
    assert len(here.stdout.splitlines()) == len(FILES)


BUNDLES = sorted(HERE.glob("v*/*.tenuto"))


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: f"{path.parent.name}/{path.name}")
async def test_a_bundle_of_every_format_is_read_and_written_again(path: Path, tmp_path: Path) -> None:
    """The one of format 1 is a run of `tests/app/test_bundles.py` (`simulation`), exported."""
    journal, artifacts = InMemoryJournal(ManualClock()), InMemoryArtifactStore()
    found = await import_bundle(journal, artifacts, path)
    contents = Contents(journal, artifacts)
    assert found.status == "ok"
    assert (await replay(journal, contents, found.run)).identical
    await export_run(journal, contents, found.run, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()  # noqa: ASYNC240 - nothing else runs
