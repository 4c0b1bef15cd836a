"""Replay: run the kernel over a journal with every effect answered from it, and compare bytes.

Inputs are fed as recorded; everything the kernel derives is computed again and must be what stands in the journal,
byte for byte, hash for hash. Python programs are run again where their locked source can be imported. Nothing is
executed, nothing is asked of a model, nothing is written. The first difference ends it.
"""

from __future__ import annotations

from typing import NamedTuple

from tenuto.core.events.call import ModelCallRequested
from tenuto.core.events.run import RunEnded
from tenuto.core.ids import Digest, RunId
from tenuto.core.records import GENESIS, bodies
from tenuto.core.spec import RunSpec
from tenuto.errors import UsageError
from tenuto.ports.journal import Journal, StoredRecord
from tenuto.ports.programs import ProgramSource
from tenuto.runtime.comparing import Comparison
from tenuto.runtime.contents import Contents
from tenuto.runtime.divergence import Divergence
from tenuto.runtime.feeding import Feed
from tenuto.runtime.loading import checked, collector_paused, load_spec
from tenuto.runtime.recorded_plan import RecordedPlan
from tenuto.runtime.replayed_programs import ReplayedPrograms

__all__ = ["Divergence", "ReplayReport", "VerifyReport", "replay", "replay_against", "verify"]


class ReplayReport(NamedTuple):
    """`unchecked` names the steps whose Python program could not be run again; the rest was compared in full.

    `unchecked_because` has a line for each of them: what is not as recorded, and where.
    """

    run: RunId
    identical: bool
    unchecked: tuple[str, ...]
    events: int
    journal_digest: Digest
    divergence: Divergence | None
    unchecked_because: tuple[str, ...] = ()


class VerifyReport(NamedTuple):
    """A journal whose chain holds and whose bodies are all there and whole."""

    run: RunId
    records: int
    journal_digest: Digest
    bodies: int
    status: str


async def replay(
    journal: Journal, contents: Contents, run: RunId, programs: ProgramSource | None = None
) -> ReplayReport:
    """Replay a run as it was recorded. DamagedStoreError where stored bytes are not what was written."""
    rows = await _rows(journal, run)
    spec = await load_spec(contents, checked(run, rows[0], GENESIS, 0))
    return await _replay(rows, contents, run, spec, programs)


async def replay_against(
    journal: Journal, contents: Contents, run: RunId, spec: RunSpec, programs: ProgramSource | None = None
) -> ReplayReport:
    """Replay recorded outcomes against another plan, registry and lock: the first call that would differ.

    Calls (with their deadlines, grants and what their model's profile would drop), routes, their order and the ends
    of steps are compared; what only follows from the change is not. The files are those that the run started from.
    """
    rows = await _rows(journal, run)
    recorded = await load_spec(contents, checked(run, rows[0], GENESIS, 0))
    return await _replay(rows, contents, run, spec, programs, recorded)


async def verify(journal: Journal, contents: Contents, run: RunId) -> VerifyReport:
    """Check the chain of a journal and every body its records name. DamagedStoreError names the first damage."""
    rows = await _rows(journal, run)
    prev = GENESIS
    carried: set[Digest] = set()
    named: set[Digest] = set()
    status = "running"
    for seq, row in enumerate(rows):
        record = checked(run, row, prev, seq)
        prev = record.hash
        for _, content in bodies(record.event):
            (carried if content.at_hand else named).add(content.digest)
        if isinstance(record.event, ModelCallRequested):
            named.update(part.digest for part in record.event.parts)
        elif isinstance(record.event, RunEnded):
            status = record.event.status
    wanted = sorted(named - carried)
    await load_spec(contents, checked(run, rows[0], GENESIS, 0))
    for first in range(0, len(wanted), 500):
        await contents.get_many(wanted[first : first + 500])
    return VerifyReport(run, len(rows), rows[-1].hash, len(wanted), status)


async def _rows(journal: Journal, run: RunId) -> list[StoredRecord]:
    with collector_paused():
        rows = [row async for row in journal.read(run)]
    if not rows:
        raise UsageError(f"run {run} has no records")
    return rows


async def _replay(
    rows: list[StoredRecord],
    contents: Contents,
    run: RunId,
    spec: RunSpec,
    source: ProgramSource | None,
    before: RunSpec | None = None,
) -> ReplayReport:
    recorded = None if before is None else RecordedPlan(before)
    comparison = Comparison(run, rows, contents, recorded)
    programs = ReplayedPrograms(source, changed=before is not None)
    divergence = await Feed(comparison, spec, programs, recorded).first_difference()
    return ReplayReport(
        run,
        divergence is None,
        tuple(programs.unchecked),
        comparison.next,
        rows[-1].hash,
        divergence,
        tuple(programs.unchecked.values()),
    )
