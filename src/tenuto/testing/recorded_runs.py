"""Recorded runs as tests: a bundle is replayed against the plan, prompts, agents and tools of today.

Nothing is asked of a model, no tool is called, no sandbox and no network is needed. Every call of today must be one
that was recorded, at its place; the first that is not fails the test and is shown beside the recorded one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.app.build import Store
from tenuto.app.bundles import import_bundle
from tenuto.app.config import read_settings
from tenuto.app.divergences import difference_lines
from tenuto.app.driving import read_start
from tenuto.app.plans import PLAN_PLACE
from tenuto.app.proofs import replay_run
from tenuto.core.ids import RunId
from tenuto.core.state import ExecutionState
from tenuto.errors import UsageError
from tenuto.runtime.contents import Contents
from tenuto.runtime.loading import load_state
from tenuto.runtime.replay import ReplayReport

__all__ = ["RecordedRun", "complaint", "in_a_loop"]

T = TypeVar("T")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, also where a test has an event loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


class RecordedRun:
    """A run from a bundle, in memory. Every byte of the bundle was checked: DamagedStoreError, NewerStoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        journal, artifacts = InMemoryJournal(SystemClock()), InMemoryArtifactStore()
        self._store = Store(Path(), journal, artifacts, Contents(journal, artifacts))
        self.run: RunId = in_a_loop(import_bundle(journal, artifacts, path)).run

    def replay(self, directory: Path | None = None) -> ReplayReport:
        """Replay against what `directory` holds now; None: the nearest above the bundle that has the plan's file.

        A plan that is of no file is replayed as it was recorded. UsageError where the plan cannot be found or read.
        """
        return in_a_loop(self._replay(directory))

    def state(self) -> ExecutionState:
        """What the run came to."""
        return in_a_loop(load_state(self._store.journal, self._store.contents, self.run))

    async def _replay(self, directory: Path | None) -> ReplayReport:
        _, recorded = await read_start(self._store, self.run)
        place = recorded.lock.places.get(PLAN_PLACE)
        against = None if place is None else directory or _home(self.path, place)
        settings = read_settings(against or self.path.parent)
        return await replay_run(settings, self._store, self.run, against=against)


def _home(bundle: Path, place: str) -> Path:
    for directory in bundle.absolute().parents:
        if (directory / place).is_file():
            return directory
    raise UsageError(
        f"no directory above the bundle holds the plan {place}",
        where=str(bundle),
        fix="put the plan back, or record the run again and `tenuto export` it",
    )


def complaint(report: ReplayReport) -> str:
    """Why a replay does not count as the same, for people; empty where it does. Unchecked steps count against it."""
    if report.divergence is not None:
        again = "if the change is meant, record the run again: `tenuto run`, then `tenuto export RUN FILE --force`"
        return "\n".join((*difference_lines(report.divergence), again))
    if report.unchecked:
        return f"the code of these steps is not here, so they were not checked: {', '.join(report.unchecked)}"
    return ""
