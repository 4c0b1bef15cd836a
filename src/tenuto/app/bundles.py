"""Bundles of runs: written from any store, taken into any store."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace as replaced

from tenuto.adapters.bundle_file import BundleHead, OpenBundle, open_bundle, write_bundle
from tenuto.adapters.workspace.reachable import reachable_from
from tenuto.app.build import make_store, open_store
from tenuto.app.config import Settings
from tenuto.core.events import Event
from tenuto.core.events.run import RunEnded, RunStarted
from tenuto.core.holdings import holdings_of
from tenuto.core.ids import Digest, RunId
from tenuto.core.records import GENESIS, Record, absent, fill
from tenuto.errors import (
    DamagedStoreError,
    MissingArtifactError,
    NewerStoreError,
    RefusedRequestError,
    StorageError,
    UsageError,
)
from tenuto.ports.artifacts import ArtifactStore, BlobStore
from tenuto.ports.journal import Journal, StoredRecord
from tenuto.runtime.contents import Contents
from tenuto.runtime.imported import mark_imported
from tenuto.runtime.loading import checked, fold, load_spec

__all__ = ["Bundled", "export_run", "import_bundle", "import_file"]

BATCH = 100
BATCH_BYTES = 8 << 20
_ELSEWHERE = "its id is in its records and cannot be changed: import it into a store of its own (--store DIR)"


class Bundled(NamedTuple):
    """What a bundle holds. `new`: whether it was not there before."""

    run: RunId
    head: Digest
    status: str
    records: int
    blobs: int
    bytes: int
    new: bool = True


async def export_run(
    journal: Journal, contents: BlobStore, run: RunId, path: Path, *, replace: bool = False
) -> Bundled:
    """Write a run as it stands now to a file, which is whole or absent. Equal runs give equal bytes, in every store.

    UsageError where the file is there and `replace` is not given; DamagedStoreError, MissingArtifactError where the
    store is not whole.
    """
    if not replace:
        _refuse_existing(path)
    rows = [row async for row in journal.read(run)]
    if not rows:
        raise UsageError(f"run {run} has no records", fix="see `tenuto ls`")
    records = _chained(run, rows)
    digests = sorted(await _named(contents, [record.event for record in records]))
    head = BundleHead(rows[-1].hash, run, len(rows), len(digests))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as out:
            await write_bundle(out, head, (row.body for row in rows), _bodies(contents, digests))
            out.flush()
            os.fsync(out.fileno())
            size = out.tell()
        beside.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot be written ({error.strerror})", where=str(path), fix="name another place"
        ) from None
    finally:
        with suppress(OSError):
            beside.unlink()
    return Bundled(run, head.head, _status(records), len(rows), len(digests), size)


async def import_file(settings: Settings, path: Path) -> Bundled:
    """`import_bundle` into the store of these settings; one is made only for a sound bundle."""
    bundle = open_bundle(path)
    try:
        await _check(bundle, path)
        make_store(settings.store)
        store = open_store(settings, create=True)
        try:
            return await _take(store.journal, store.artifacts, bundle)
        finally:
            await store.close()
    finally:
        bundle.close()


async def import_bundle(journal: Journal, artifacts: ArtifactStore, path: Path) -> Bundled:
    """Check a bundle, then take its run into a store, as a record that is only read. Nothing of it is executed.

    A run that is there with the same head stays as it is. RefusedRequestError where it is there with another one;
    DamagedStoreError, NewerStoreError for what cannot be trusted: then the store is as it was.
    """
    bundle = open_bundle(path)
    try:
        await _check(bundle, path)
        return await _take(journal, artifacts, bundle)
    finally:
        bundle.close()


async def _check(bundle: OpenBundle, path: Path) -> None:
    """The chain, what the run is made of, that its records fold, and that it has exactly what they name."""
    run = bundle.head.run
    try:
        records = _chained(run, bundle.records)
        first = records[0].event
        if isinstance(first, RunStarted) and first.run != run:
            raise DamagedStoreError(f"its records are of run {first.run}")
        spec = await load_spec(bundle, records[0])
        named = await _named(bundle, [record.event for record in records])
        if len(named) != bundle.head.blobs:
            raise DamagedStoreError("it holds bodies that no record names")
        fold(spec, [await _filled(bundle, record) for record in records])
    except NewerStoreError:
        raise
    except (StorageError, MissingArtifactError) as error:
        what = f"{error.where}: {error.what}" if error.where not in ("", str(path)) else error.what
        raise DamagedStoreError(what, where=str(path), fix="get the file again from where it was exported") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # What nobody's engine wrote may hold anything: the pure functions that read it have no effects to undo.
        raise DamagedStoreError(
            f"its records make no run ({type(error).__name__})", where=str(path), fix="do not trust where it is from"
        ) from error


async def _take(journal: Journal, artifacts: ArtifactStore, bundle: OpenBundle) -> Bundled:
    """Take a checked bundle into a store: bodies, then the mark, then all records in one commit."""
    run, head = bundle.head.run, bundle.head.head
    records = _chained(run, bundle.records)
    found = Bundled(run, head, _status(records), len(records), bundle.head.blobs, bundle.size)
    if await _is_there(journal, run, head):
        return found._replace(new=False)
    contents = Contents(journal, artifacts)
    async for batch in _batches(bundle):
        await contents.put_many(batch)
    session = await journal.open_session("import")
    try:
        await mark_imported(artifacts, run, head)
        await journal.create(run, session, bundle.records, {})
    except (MissingArtifactError, RefusedRequestError):
        raise RefusedRequestError(f"a run {run} was here once", fix=_ELSEWHERE) from None
    finally:
        await session.close()
    return found


async def _is_there(journal: Journal, run: RunId, head: Digest) -> bool:
    """Whether the store has this very run. RefusedRequestError where it has another one of that id."""
    try:
        there = await journal.head(run)
    except UsageError:
        return False
    if there.hash == head:
        return True
    raise RefusedRequestError(
        f"there is another run {run} here, with {there.seq + 1} records and the head {there.hash[:16]}",
        fix=_ELSEWHERE,
    )


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise UsageError("the file is there already", where=str(path), fix="name another one, or give --force")


def _chained(run: RunId, rows: Sequence[StoredRecord]) -> list[Record]:
    records: list[Record] = []
    prev = GENESIS
    for seq, row in enumerate(rows):
        records.append(checked(run, row, prev, seq))
        prev = row.hash
    return records


def _status(records: Sequence[Record]) -> str:
    last = records[-1].event
    return last.status if isinstance(last, RunEnded) else "unfinished"


async def _named(blobs: BlobStore, events: Sequence[Event]) -> set[Digest]:
    """Every body that a run needs beside its records, all of them there."""
    held = holdings_of(events)
    named = await reachable_from(blobs, held.trees) | held.bodies
    missing = await blobs.missing(sorted(named))
    if missing:
        raise MissingArtifactError(f"there is no body {missing[0]}", fix="run `tenuto verify` on the run")
    return named


async def _filled(bundle: OpenBundle, record: Record) -> Record:
    wanted = absent(record.event)
    return replaced(record, event=fill(record.event, dict(await bundle.get_many(wanted)))) if wanted else record


async def _bodies(contents: BlobStore, digests: Sequence[Digest]) -> AsyncIterator[tuple[Digest, bytes]]:
    for first in range(0, len(digests), BATCH):
        wanted = digests[first : first + BATCH]
        found = await contents.get_many(wanted)
        for digest in wanted:
            yield digest, found[digest]


async def _batches(bundle: OpenBundle) -> AsyncIterator[Sequence[bytes]]:
    batch: list[Digest] = []
    size = 0
    for digest in bundle.digests:
        batch.append(digest)
        size += bundle.length(digest)
        if size >= BATCH_BYTES or len(batch) == BATCH:
            yield list((await bundle.get_many(batch)).values())
            batch, size = [], 0
    if batch:
        yield list((await bundle.get_many(batch)).values())
