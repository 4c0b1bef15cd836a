"""Reading a run back: records, their chain, the bodies they name, and the state they fold to."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.core.bodies import read_lock, read_plan, read_registry
from tenuto.core.events.run import RunStarted
from tenuto.core.evolve import evolve, start
from tenuto.core.ids import Digest, RunId
from tenuto.core.records import GENESIS, Record, bodies, decode, fill
from tenuto.core.snapshots import read_snapshot
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState
from tenuto.errors import DamagedStoreError, UsageError
from tenuto.ports.journal import Journal, StoredRecord
from tenuto.runtime.contents import Contents

__all__ = ["checked", "fold", "load_records", "load_spec", "load_state"]

_REMEDY = "restore the store from a copy; `tenuto verify` shows what is whole"


def checked(run: RunId, stored: StoredRecord, prev: Digest, seq: int) -> Record:
    """Decode one record and check its place in the chain. DamagedStoreError names the record."""
    try:
        record = decode(stored.body)
    except ValueError as error:
        raise _damaged(run, seq, f"the record cannot be read: {error}") from error
    if record.seq != seq or stored.seq != seq:
        raise _damaged(run, seq, f"found record {record.seq} in its place")
    if record.hash != stored.hash:
        raise _damaged(run, seq, "its bytes are not what was written (hash differs)")
    if record.prev != prev:
        raise _damaged(run, seq, "it does not follow the record before it (prev differs)")
    return record


def _damaged(run: RunId, seq: int, what: str) -> DamagedStoreError:
    return DamagedStoreError(what, where=f"run {run}, record {seq}", fix=_REMEDY)


async def load_records(journal: Journal, contents: Contents, run: RunId) -> tuple[list[StoredRecord], list[Record]]:
    """All records of a run, chain checked, bodies filled in. UsageError for an unknown run."""
    stored: list[StoredRecord] = []
    records: list[Record] = []
    prev = GENESIS
    wanted: set[Digest] = set()
    async for row in journal.read(run):
        record = checked(run, row, prev, len(records))
        prev = record.hash
        wanted.update(c.digest for _, c in bodies(record.event) if not c.at_hand)
        stored.append(row)
        records.append(record)
    if wanted:
        found = dict(await contents.get_many(sorted(wanted)))
        records = [r._replace(event=fill(r.event, found)) for r in records]
    return stored, records


async def load_spec(contents: Contents, first: Record) -> RunSpec:
    """The plan, registry and lock that a run started with. DamagedStoreError when the first record is no start."""
    event = first.event
    if not isinstance(event, RunStarted):
        raise DamagedStoreError(f"a journal begins with RunStarted, not {type(event).__name__}", fix=_REMEDY)
    found = await contents.get_many([event.plan, event.registry, event.lock])
    return RunSpec(read_plan(found[event.plan]), read_registry(found[event.registry]), read_lock(found[event.lock]))


def fold(spec: RunSpec, records: Sequence[Record]) -> ExecutionState:
    """The state after these records."""
    state = start(spec)
    for record in records:
        state = evolve(state, record.event, seq=record.seq, at=record.at, head=record.hash)
    return state


async def load_state(journal: Journal, contents: Contents, run: RunId) -> ExecutionState:
    """The state of a run as its journal stands: its newest snapshot and what follows, or everything."""
    first = [row async for row in journal.read(run, upto=0)]
    if not first:
        raise UsageError(f"run {run} has no records", fix="see `tenuto ls`")
    spec = await load_spec(contents, checked(run, first[0], GENESIS, 0))
    state = await _snapshot_state(journal, run, spec)
    if state is None:
        _, records = await load_records(journal, contents, run)
        return fold(spec, records)
    async for row in journal.read(run, after=state.seq):
        record = checked(run, row, state.head, state.seq + 1)
        missing = [content.digest for _, content in bodies(record.event) if not content.at_hand]
        event = fill(record.event, dict(await contents.get_many(missing))) if missing else record.event
        state = evolve(state, event, seq=record.seq, at=record.at, head=record.hash)
    return state


async def _snapshot_state(journal: Journal, run: RunId, spec: RunSpec) -> ExecutionState | None:
    """The state of a snapshot that belongs to this very journal; one that does not is as good as none."""
    stored = await journal.snapshot(run)
    if stored is None:
        return None
    rows = [row async for row in journal.read(run, after=stored.seq - 1, upto=stored.seq)]
    if not rows or rows[0].hash != stored.head:
        return None
    try:
        state = read_snapshot(spec, stored.body)
    except ValueError:
        return None
    return state if (state.seq, state.head) == (stored.seq, stored.head) else None
