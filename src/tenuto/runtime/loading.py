"""Reading a run back: records, their chain, the bodies they name, and the state they fold to."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from tenuto.core.bodies import read_lock, read_plan, read_registry
from tenuto.core.events.run import RunForked, RunStarted
from tenuto.core.evolve import evolve, start
from tenuto.core.ids import Digest, RunId
from tenuto.core.logic import LOGIC_VERSION
from tenuto.core.records import GENESIS, Record, absent, decode, fill
from tenuto.core.reuse_table import read_table
from tenuto.core.snapshots import read_snapshot
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState
from tenuto.errors import DamagedStoreError, NewerStoreError, UsageError
from tenuto.ports.artifacts import BlobStore
from tenuto.ports.journal import NO_HEAD, Head, Journal, StoredRecord
from tenuto.runtime.contents import Contents

__all__ = ["checked", "collector_paused", "fold", "load_records", "load_spec", "load_state"]

BATCH = 512
"""Records whose long bodies are asked for together."""
_REMEDY = "restore the store from a copy; `tenuto verify` shows what is whole"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Reading a journal makes many objects, none of which is garbage: looking for some takes a fifth of the time."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def checked(run: RunId, stored: StoredRecord, prev: Digest, seq: int) -> Record:
    """Decode one record and check its place in the chain.

    DamagedStoreError and NewerStoreError name the record.
    """
    try:
        record = decode(stored.body)
    except NewerStoreError as error:
        if hashlib.sha256(stored.body).hexdigest() != stored.hash:  # a damaged one may look like a newer one
            raise _damaged(run, seq, "its bytes are not what was written (hash differs)") from error
        raise NewerStoreError(error.what, where=f"run {run}, record {seq}", fix=error.fix) from None
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
    with collector_paused():
        async for rows, batch in _batches(journal, contents, run, NO_HEAD):
            stored += rows
            records += batch
    return stored, records


async def _batches(
    journal: Journal, contents: Contents, run: RunId, after: Head
) -> AsyncIterator[tuple[list[StoredRecord], list[Record]]]:
    """The records after a head, chain checked, bodies filled in."""
    rows: list[StoredRecord] = []
    async for row in journal.read(run, after=after.seq):
        rows.append(row)
        if len(rows) == BATCH:
            records = await _checked_and_filled(contents, run, rows, after)
            yield rows, records
            after, rows = Head(records[-1].seq, records[-1].hash), []
    if rows:
        yield rows, await _checked_and_filled(contents, run, rows, after)


async def _checked_and_filled(
    contents: Contents, run: RunId, rows: Sequence[StoredRecord], after: Head
) -> list[Record]:
    records: list[Record] = []
    wanted: list[Digest] = []
    prev = after.hash
    for seq, row in enumerate(rows, after.seq + 1):
        record = checked(run, row, prev, seq)
        prev = record.hash
        wanted += absent(record.event)
        records.append(record)
    if not wanted:
        return records
    found = dict(await contents.get_many(sorted(set(wanted))))
    return [replace(record, event=fill(record.event, found)) for record in records]


async def load_spec(contents: BlobStore, first: Record) -> RunSpec:
    """The plan, registry and lock that a run started with, the logic that it follows, and what it may reuse.

    DamagedStoreError when the first record is no start, NewerStoreError for a logic or a form that is not known.
    """
    event = first.event
    if not isinstance(event, RunStarted):
        raise DamagedStoreError(f"a journal begins with RunStarted, not {type(event).__name__}", fix=_REMEDY)
    if event.logic > LOGIC_VERSION:
        raise NewerStoreError(
            f"the run follows logic {event.logic} of the kernel; this tenuto knows {LOGIC_VERSION}",
            where=f"run {event.run}, record 0",
            fix=f"use a tenuto that knows logic {event.logic}",
        )
    found = await contents.get_many([event.plan, event.registry, event.lock])
    try:
        bodies = read_plan(found[event.plan]), read_registry(found[event.registry]), read_lock(found[event.lock])
    except ValueError as error:  # their digests are right: somebody else's tenuto wrote more than this one knows
        raise NewerStoreError(
            f"its plan, registry or lock is of a form that this tenuto does not know: {error}",
            where=f"run {event.run}",
            fix="use the tenuto that started it, or a newer one",
        ) from error
    spec = RunSpec(*bodies, event.logic)
    if not isinstance(event, RunForked):
        return spec
    return spec.forked(event.budget, read_table((await contents.get_many([event.reuse]))[event.reuse]))


def fold(spec: RunSpec, records: Sequence[Record]) -> ExecutionState:
    """The state after these records."""
    with collector_paused():
        return _folded(start(spec), records)


def _folded(state: ExecutionState, records: Sequence[Record]) -> ExecutionState:
    for record in records:
        state = evolve(state, record.event, seq=record.seq, at=record.at, head=record.hash)
    return state


async def load_state(journal: Journal, contents: Contents, run: RunId) -> ExecutionState:
    """The state of a run as its journal stands: its newest snapshot and what follows, or everything."""
    first = [row async for row in journal.read(run, upto=0)]
    if not first:
        raise UsageError(f"run {run} has no records", fix="see `tenuto ls`")
    with collector_paused():
        spec = await load_spec(contents, checked(run, first[0], GENESIS, 0))
        state = await _snapshot_state(journal, run, spec) or start(spec)
        async for _, records in _batches(journal, contents, run, Head(state.seq, state.head)):
            state = _folded(state, records)
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
