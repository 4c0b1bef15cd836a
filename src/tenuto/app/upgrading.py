"""The proof before an upgrade: a folder of exported runs, replayed offline under today's kernel or today's plans."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.app.bundles import import_bundle
from tenuto.app.config import Settings
from tenuto.app.proofs import refuse_outside, todays
from tenuto.core.budget import NOTHING, Amount, add
from tenuto.core.events.call import ModelCallRequested
from tenuto.core.ids import RunId, split_position
from tenuto.core.records import Record
from tenuto.core.spec import RunSpec
from tenuto.errors import TenutoError, UsageError
from tenuto.runtime.contents import Contents
from tenuto.runtime.loading import load_records, load_spec
from tenuto.runtime.replay import Divergence, replay, replay_against

__all__ = ["ENDING", "Upgrade", "bundles_in", "replay_all"]

ENDING = ".tenuto"
"""How the files of bundles end."""


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recorded run.

    `affected` are the steps that the first difference can reach; `cost` is at most what running them again would
    cost: what was held for their model calls.
    """

    file: str
    run: str | None
    identical: bool
    events: int
    divergence: Divergence | None = None
    affected: list[str] = []
    cost: Amount = NOTHING
    error: str = ""
    exit: int = 0


async def replay_all(settings: Settings, directory: Path, *, against: Path | None = None) -> list[Upgrade]:
    """Replay every bundle of a folder, in order of name. Nothing is executed, asked or written.

    With `against`, under the plans, agents and tools that are there now. A bundle that cannot be read is a line too.
    UsageError for a folder without bundles.
    """
    files = bundles_in(directory)
    if not files:
        raise UsageError(
            "there are no bundles here", where=str(directory), fix=f"write some: tenuto export RUN NAME{ENDING}"
        )
    return [await _replayed(settings, path, against) for path in files]


def bundles_in(directory: Path) -> list[Path]:
    """The bundles of a folder, in order of name."""
    return sorted(path for path in directory.iterdir() if path.name.endswith(ENDING) and path.is_file())


async def _replayed(settings: Settings, path: Path, against: Path | None) -> Upgrade:
    run: RunId | None = None
    try:
        journal, artifacts = InMemoryJournal(SystemClock()), InMemoryArtifactStore()
        run = (await import_bundle(journal, artifacts, path)).run
        contents = Contents(journal, artifacts)
        _, records = await load_records(journal, contents, run)
        recorded = await load_spec(contents, records[0])
        if against is None:
            report = await replay(journal, contents, run)
        else:
            refuse_outside(recorded)
            spec, programs = await todays(settings, recorded, against)
            report = await replay_against(journal, contents, run, spec, programs)
    except TenutoError as error:
        code = int(error.exit_code)
        return Upgrade(file=path.name, run=run, identical=False, events=0, error=str(error), exit=code)
    affected = [] if report.divergence is None else _affected(recorded, report.divergence)
    return Upgrade(
        file=path.name,
        run=run,
        identical=report.identical,
        events=report.events,
        divergence=report.divergence,
        affected=affected,
        cost=_held(records, affected),
        exit=0 if report.identical else 5,
    )


def _affected(spec: RunSpec, divergence: Divergence) -> list[str]:
    """The steps of the plan that a difference can reach: where it is, and all that need it; without a place, all."""
    names = [step.name for step in spec.plan.steps]
    first = _top(divergence.step or "")
    if first not in spec.index:
        return names
    bit = 1 << spec.index[first]
    return [name for name in names if name == first or spec.ancestors[spec.index[name]] & bit]


def _top(path: str) -> str:
    """The step of the run's own plan that a path is in."""
    for separator in ("/", "[", "#"):
        path = path.partition(separator)[0]
    return path


def _held(records: list[Record], steps: list[str]) -> Amount:
    total = NOTHING
    wanted = frozenset(steps)
    for record in records:
        event = record.event
        if isinstance(event, ModelCallRequested) and _top(split_position(event.call)[0]) in wanted:
            total = add(total, event.hold)
    return total
