"""Looking at runs: which there are, how one stands, its records. Nothing here writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from tenuto.adapters.stores.heads import has_noted
from tenuto.app.build import Store
from tenuto.app.finding import resolve_run
from tenuto.core.bodies import read_lock, read_plan
from tenuto.core.events.run import RunEnded, RunExhausted, RunForked, RunStarted
from tenuto.core.ids import RunId
from tenuto.core.models import Grade
from tenuto.core.records import decode
from tenuto.core.report import report, status_of, worst_grade
from tenuto.core.state import ExecutionState
from tenuto.errors import DamagedStoreError, TenutoError
from tenuto.ports.journal import RunEntry
from tenuto.runtime.imported import is_imported
from tenuto.runtime.loading import load_state

__all__ = ["STATUSES", "RunLine", "ShownRun", "list_runs", "show_run", "standing"]


STATUSES = ("running", "waiting", "paused", "exhausted", "stopped", "ok", "failed", "cancelled", "damaged")
"""How a run can stand."""


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run as `ls` shows it. `status` is one of `STATUSES`; `stopped` ones can be resumed, `damage` says what is."""

    run: RunId
    plan: str
    status: str
    started_us: int
    last_us: int
    records: int
    repository: str
    grade: Grade | None = None
    parent: RunId | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """A run as it stands. `owned`: a live engine drives it. `imported`: it came from a bundle and is only read."""

    state: ExecutionState
    owned: bool
    imported: bool = False

    @property
    def status(self) -> str:
        return standing(status_of(self.state), self.owned)

    def report(self) -> dict[str, Any]:
        """The report of the machine interface, `owned` and `imported`."""
        return {**report(self.state), "owned": self.owned, "imported": self.imported}


def standing(status: str, owned: bool) -> str:
    """A status for people: a run that nobody drives is not running."""
    return "stopped" if status == "running" and not owned else status


async def list_runs(
    store: Store, *, statuses: Collection[str] = (), plan: str | None = None, limit: int | None = None
) -> list[RunLine]:
    """The runs, oldest first: those of these statuses and of plans whose name this glob fits, the newest `limit`.

    A damaged one is listed as such and hides no other.
    """
    lines: list[RunLine] = []
    for entry in reversed(await _entries(store)):
        if limit is not None and len(lines) == limit:
            break
        try:
            line = await _line(store, entry)
        except (TenutoError, ValueError) as error:
            line = _damaged(entry.run, str(error))
        if (not statuses or line.status in statuses) and (plan is None or fnmatchcase(line.plan, plan)):
            lines.append(line)
    return lines[::-1]


def _damaged(run: RunId, why: str) -> RunLine:
    return RunLine(run=run, plan="", status="damaged", started_us=0, last_us=0, records=0, repository="", damage=why)


async def _entries(store: Store) -> Sequence[RunEntry]:
    """The runs of the store. DamagedStoreError where it has none, but the note beside it knows of some."""
    entries = await store.journal.runs()
    note = store.path / "journal.db.heads"
    if entries or not has_noted(note):
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
    if entry.damaged:
        raise DamagedStoreError(entry.damaged)
    first, last = decode(entry.first.body), decode(entry.last.body)
    assert isinstance(first.event, RunStarted)
    bodies = await store.contents.get_many([first.event.plan, first.event.lock])
    plan, lock = read_plan(bodies[first.event.plan]), read_lock(bodies[first.event.lock])
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
        grade=worst_grade(lock.profiles.values()),
        parent=first.event.parent if isinstance(first.event, RunForked) else None,
    )


async def show_run(store: Store, given: str) -> ShownRun:
    """A run by its name. UsageError for an unknown one, DamagedStoreError where its journal is not whole."""
    run = await resolve_run(store.journal, given)
    state = await load_state(store.journal, store.contents, run)
    imported = await is_imported(store.journal, store.artifacts, run)
    return ShownRun(state=state, owned=await is_owned(store, run), imported=imported)


async def is_owned(store: Store, run: RunId) -> bool:
    """Whether a live engine drives the run."""
    return any(entry.run == run and entry.owned for entry in await store.journal.runs())
