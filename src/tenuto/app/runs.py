"""Looking at runs: which there are, how one stands, its records. Nothing here writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tenuto.adapters.stores.heads import HeadsNote
from tenuto.app.build import Store
from tenuto.app.finding import resolve_run
from tenuto.core.bodies import read_plan
from tenuto.core.events.run import RunEnded, RunExhausted, RunStarted
from tenuto.core.ids import RunId
from tenuto.core.records import GENESIS, Record, decode
from tenuto.core.report import report, status_of
from tenuto.core.state import ExecutionState
from tenuto.errors import DamagedStoreError, TenutoError
from tenuto.ports.journal import RunEntry, StoredRecord
from tenuto.runtime.loading import checked, load_state

__all__ = ["RunLine", "ShownRun", "list_runs", "read_events", "show_run", "standing"]

FOLLOW_S = 0.2
SLOT_BYTES = 64
"""Of a run in the heads note: more of them are only looked for where the store holds no run."""


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run as `ls` shows it. `status`: as in the report, or `stopped` (to be resumed), or `damaged`."""

    run: RunId
    plan: str
    status: str
    started_us: int
    last_us: int
    records: int
    repository: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """A run as it stands. `owned`: a live engine drives it."""

    state: ExecutionState
    owned: bool

    @property
    def status(self) -> str:
        return standing(status_of(self.state), self.owned)

    def report(self) -> dict[str, Any]:
        """The report of the machine interface, and `owned`."""
        return {**report(self.state), "owned": self.owned}


def _has_noted(path: Path) -> bool:
    note = HeadsNote(path)
    try:
        return any(note.occupied(num) for num in range(1, path.stat().st_size // SLOT_BYTES + 1))
    except OSError:
        return False
    finally:
        note.close()


def standing(status: str, owned: bool) -> str:
    """A status for people: a run that nobody drives is not running."""
    return "stopped" if status == "running" and not owned else status


async def list_runs(store: Store) -> list[RunLine]:
    """All runs, oldest first. A damaged one is listed as such and hides no other."""
    lines = []
    for entry in await _entries(store):
        try:
            lines.append(await _line(store, entry))
        except (TenutoError, ValueError) as error:
            lines.append(
                RunLine(
                    run=entry.run,
                    plan=str(error),
                    status="damaged",
                    started_us=0,
                    last_us=0,
                    records=0,
                    repository="",
                )
            )
    return lines


async def _entries(store: Store) -> Sequence[RunEntry]:
    """The runs of the store. DamagedStoreError where it has none, but the note beside it knows of some."""
    entries = await store.journal.runs()
    note = store.path / "journal.db.heads"
    if entries or not _has_noted(note):
        return entries
    entries = await store.journal.runs()  # the first one may have come just now
    if not entries:
        raise DamagedStoreError(
            "the store holds no run, but records of runs were acknowledged here",
            where=str(store.path / "journal.db"),
            fix=f"restore the store from a backup, or remove {note.name} to accept the loss",
        )
    return entries


async def _line(store: Store, entry: RunEntry) -> RunLine:
    first, last = decode(entry.first.body), decode(entry.last.body)
    assert isinstance(first.event, RunStarted)
    plan = read_plan((await store.contents.get_many([first.event.plan]))[first.event.plan])
    match last.event:
        case RunEnded(status=status):
            found: str = status
        case RunExhausted():
            found = "exhausted"
        case _ if entry.owned:
            found = "running"
        case _:
            found = standing(status_of(await load_state(store.journal, store.contents, entry.run)), owned=False)
    return RunLine(
        run=entry.run,
        plan=plan.name,
        status=found,
        started_us=first.at,
        last_us=last.at,
        records=last.seq + 1,
        repository=first.event.repository,
    )


async def show_run(store: Store, given: str) -> ShownRun:
    """A run by its name. UsageError for an unknown one, DamagedStoreError where its journal is not whole."""
    run = await resolve_run(store.journal, given)
    state = await load_state(store.journal, store.contents, run)
    return ShownRun(state=state, owned=await is_owned(store, run))


async def is_owned(store: Store, run: RunId) -> bool:
    """Whether a live engine drives the run."""
    return any(entry.run == run and entry.owned for entry in await store.journal.runs())


async def read_events(store: Store, given: str, *, follow: bool = False) -> AsyncIterator[StoredRecord]:
    """The stored records of a run, as they are; with `follow` until the run has ended.

    DamagedStoreError at the first record that is not what was written, before it is given out.
    """
    run = await resolve_run(store.journal, given)
    after, prev = -1, GENESIS
    while True:
        last: Record | None = None
        async for row in store.journal.read(run, after=after):
            last = checked(run, row, prev, after + 1)
            after, prev = last.seq, last.hash
            yield row
        if not follow or (last is not None and isinstance(last.event, RunEnded)):
            return
        await asyncio.sleep(FOLLOW_S)
