"""Stores of every released format are opened, replayed and continued; a newer one is left as it is, to the byte.

Each holds two runs, written by the tenuto of its format: `ended`, and `short`, whose budget was used up.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.adapters.stores.sqlite_schema import VERSION
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.budget import Amount
from tenuto.core.ids import RunId
from tenuto.errors import NewerStoreError
from tenuto.runtime.contents import Contents
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.replay import replay, verify

STORES = sorted((Path(__file__).parent / "stores").iterdir())
HEADS = {
    "format-1": "03d0bed5c0ddcc195d4688ee0bd10b17bd5f199b6119bb0e1c1eb993a65d009e",
    "format-2": "d1d8f72ec70fbb666448d9d0df02365e908a26d1f03b19f74f706d6af0303de9",
    "format-3": "8f40164840d5478aea4d753754bded304bd4ab6564a2577ba798ab2ca44e95db",
}
"""The last record's hash of `ended`, as the tenuto of that format printed it."""


def format_of(path: Path) -> int:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def digests(store: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in store.iterdir() if p.is_file()}


@pytest.fixture(params=STORES, ids=lambda path: path.name)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a golden store."""
    found: Path = request.param
    assert format_of(found / "journal.db") == int(found.name.rpartition("-")[2])
    shutil.copytree(found, tmp_path / found.name)
    return tmp_path / found.name


def test_there_is_a_store_of_every_format_before_this_one() -> None:
    assert {path.name for path in STORES} >= {f"format-{number}" for number in range(1, VERSION)}


async def test_an_old_store_is_read_and_continued(store: Path) -> None:
    clock = SystemClock()
    journal = SqliteJournal(store / "journal.db", clock)
    artifacts = FileArtifactStore(store / "artifacts")
    contents = Contents(journal, artifacts)
    try:
        for run in (RunId("ended"), RunId("short")):
            assert (await replay(journal, contents, run)).identical
            await verify(journal, contents, run)
        assert (await journal.head(RunId("ended"))).hash == HEADS[store.name]
        engine = PlanExecutionEngine(
            journal=journal,
            artifacts=artifacts,
            models=LocalMockAdapter(clock=clock),
            tools=Toolbox([]),
            workspace=lambda blobs: TreeWorkspace(blobs, store / "pool"),
            clock=clock,
        )
        state = await engine.resume("short", add_budget=Amount(model_calls=1))
        await engine.close()
        assert (state.status, state.logic) == ("ok", 1)
        assert (await replay(journal, contents, RunId("short"))).identical
    finally:
        await journal.close()
    assert format_of(store / "journal.db") == VERSION


async def test_a_newer_store_is_refused_and_left_as_it_is_to_the_byte(store: Path) -> None:
    file = store / "journal.db"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    before = digests(store)
    journal = SqliteJournal(file, SystemClock())
    with pytest.raises(NewerStoreError, match=f"has format {VERSION + 1}, this tenuto knows {VERSION}"):
        await journal.runs()
    await journal.close()
    after = digests(store)
    assert after == before
