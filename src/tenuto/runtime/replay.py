"""Replay: run the kernel over a journal with every effect answered from it, and compare bytes.

Inputs are fed as recorded; everything the kernel derives is computed again and must be what stands in the journal,
byte for byte, hash for hash. Python programs are run again where their locked source can be imported. Nothing is
executed, nothing is asked of a model, nothing is written. The first difference ends it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import msgspec
from msgspec.structs import replace

from tenuto.core.advances import said
from tenuto.core.canonical import parse
from tenuto.core.commands import CallModel
from tenuto.core.decide import waits_for_program
from tenuto.core.events import Event, Input
from tenuto.core.events.call import ModelCallRequested
from tenuto.core.events.program import StepAdvanced, TimerFired
from tenuto.core.events.run import RunEnded
from tenuto.core.evolve import start
from tenuto.core.ids import Digest, RunId, StepPath, split_position
from tenuto.core.records import GENESIS, Record, absent, bodies, fill, is_input
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState, ProgramFrame
from tenuto.core.turn import Entry, Turn, take
from tenuto.errors import DamagedStoreError, UsageError
from tenuto.ports.journal import Journal, StoredRecord
from tenuto.ports.programs import ProgramSource
from tenuto.runtime.contents import Contents
from tenuto.runtime.loading import checked, collector_paused, load_spec
from tenuto.runtime.programs import RunningProgram
from tenuto.runtime.rerun import changed_code, program_inputs

__all__ = ["Divergence", "ReplayReport", "VerifyReport", "replay", "replay_against", "verify"]

_FOLLOWING = frozenset(("plan", "registry", "lock", "key", "leaf", "result", "agent"))
"""Fields that merely follow from a changed plan; `replay_against` does not compare them."""


class Divergence(NamedTuple):
    """The first difference. `where` is the place in the plan, prompt or program; the two sides are JSON values."""

    seq: int
    step: str | None
    call: str | None
    what: str
    where: str
    recorded: Any
    current: Any


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


class _DivergenceFoundError(Exception):
    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.what)
        self.divergence = divergence


async def replay(
    journal: Journal, contents: Contents, run: RunId, programs: ProgramSource | None = None
) -> ReplayReport:
    """Replay a run as it was recorded. DamagedStoreError where stored bytes are not what was written."""
    rows = await _rows(journal, run)
    spec = await load_spec(contents, checked(run, rows[0], GENESIS, 0))
    return await _Replay(rows, contents, run, spec, programs, against=False).report()


async def replay_against(
    journal: Journal, contents: Contents, run: RunId, spec: RunSpec, programs: ProgramSource | None = None
) -> ReplayReport:
    """Replay recorded outcomes against another plan, registry and lock: the first call that would differ.

    Calls, routes, their order and the ends of steps are compared; what only follows from the change is not.
    """
    rows = await _rows(journal, run)
    return await _Replay(rows, contents, run, spec, programs, against=True).report()


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


class _Replay:
    """One replay: where it stands in the rows, the state so far, and the programs that are run again."""

    def __init__(
        self,
        rows: list[StoredRecord],
        contents: Contents,
        run: RunId,
        spec: RunSpec,
        source: ProgramSource | None,
        *,
        against: bool,
    ) -> None:
        self._rows = rows
        self._contents = contents
        self._run = run
        self._source = source
        self._against = against
        self._next = 0
        self._prev = GENESIS
        self._programs: dict[StepPath, RunningProgram | None] = {}
        self._unchecked: dict[str, str] = {}
        self.state: ExecutionState = start(spec)

    async def report(self) -> ReplayReport:
        divergence: Divergence | None = None
        try:
            with collector_paused():
                while self._next < len(self._rows):
                    await self._turn(await self._read())
        except _DivergenceFoundError as error:
            divergence = error.divergence
        finally:
            for program in self._programs.values():
                if program is not None:
                    program.close()
        return ReplayReport(
            self._run,
            divergence is None,
            tuple(self._unchecked),
            self._next,
            self._rows[-1].hash,
            divergence,
            tuple(self._unchecked.values()),
        )

    async def _read(self) -> Record:
        """The next record, chain checked, its bodies filled in."""
        record = checked(self._run, self._rows[self._next], self._prev, self._next)
        missing = absent(record.event)
        if missing:
            found = dict(await self._contents.get_many(missing))
            record = replace(record, event=fill(record.event, found))
        return record

    async def _turn(self, record: Record) -> None:
        event = record.event
        if not is_input(event):
            self._diverge(record.seq, event, None, "the record stands where the kernel derives nothing more")
        turn = self._take(record)
        for number, entry in enumerate(turn.entries):
            await self._compare(entry, turn, is_first=number == 0)
        self.state = turn.state
        for path in dict.fromkeys(turn.state.fed):
            for advance in self._advance(path):
                await self._expect(advance)
            if path in self._programs and self._programs[path] is None:
                await self._pass_over(path)

    def _take(self, record: Record) -> Turn:
        event: Any = record.event
        call = getattr(event, "call", None)
        unknown = call is not None and call not in self.state.calls
        if isinstance(event, TimerFired):
            unknown = event.timer not in self.state.timers
        if isinstance(event, StepAdvanced):
            step = self.state.steps.get(event.path)
            unknown = step is None or not isinstance(step.frame, ProgramFrame)
        if unknown:
            self._diverge(record.seq, event, None, "the outcome belongs to a call that is not made now")
        return take(self.state, event, at=record.at)

    async def _compare(self, entry: Entry, turn: Turn, *, is_first: bool) -> None:
        seq = self._next
        if seq >= len(self._rows):
            self._diverge(seq, None, entry.event, "the journal ends where the kernel derives another record")
        row = self._rows[seq]
        if row.body == entry.body:
            if row.hash != entry.hash:
                raise DamagedStoreError("its bytes are not what was written", where=f"run {self._run}, record {seq}")
        elif is_first and not self._against:
            raise DamagedStoreError("the record is not canonical", where=f"run {self._run}, record {seq}")
        elif not is_first:
            recorded = checked(self._run, row, self._prev, seq)
            if not self._against or _essence(recorded.event) != _essence(entry.event):
                await self._differ(recorded, entry, turn)
        self._prev = row.hash
        self._next += 1

    async def _differ(self, recorded: Record, entry: Entry, turn: Turn) -> None:
        if is_input(recorded.event) or type(recorded.event) is not type(entry.event):
            name = type(recorded.event).__name__
            now = type(entry.event).__name__
            self._diverge(entry.seq, recorded.event, entry.event, f"recorded {name}, now {now}")
        old, new = _data(recorded.event), _data(entry.event)
        if isinstance(recorded.event, ModelCallRequested):
            old["messages"] = await self._messages(recorded.event.parts)
            for command in turn.commands:
                if isinstance(command, CallModel) and command.event is entry.event:
                    shown = {digest: _shown(body) for digest, body in command.blobs}
                    new["messages"] = [shown.get(part.digest, part.digest) for part in command.event.parts]
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        what = f"{type(entry.event).__name__} differs in {', '.join(changed)}"
        raise _DivergenceFoundError(
            Divergence(
                entry.seq,
                *_place(entry.event),
                what,
                self._where(entry.event),
                {name: old.get(name) for name in changed},
                {name: new.get(name) for name in changed},
            )
        )

    async def _messages(self, parts: Any) -> list[Any]:
        wanted = [part.digest for part in parts]
        missing = set(await self._contents.missing(wanted))
        found = await self._contents.get_many([d for d in wanted if d not in missing])
        return [_shown(found[d]) if d in found else d for d in wanted]

    # --- programs ---------------------------------------------------------------------------------------------

    def _advance(self, path: StepPath) -> list[StepAdvanced]:
        """What the program says now to what it was told, or nothing where it cannot be run again."""
        step = self.state.steps[path]
        frame = step.frame
        if not isinstance(frame, ProgramFrame):
            return []
        advances: list[StepAdvanced] = []
        if path not in self._programs or not (frame.advances or frame.fed):
            program = self._programs[path] = self._load(path)
            if program is not None:
                advances.append(program.start())
        program = self._programs[path]
        if program is None:
            return []
        while program.told < len(frame.fed):
            advances.append(program.feed(frame.fed[program.told]))
        recorded = [advance for advance in advances if said(advance)]
        return advances[-1:] if not recorded and waits_for_program(self.state) else recorded

    def _load(self, path: StepPath) -> RunningProgram | None:
        step = self.state.steps[path]
        spec = self.state.spec_of(step)
        target, recorded = spec.step(step.name).target, spec.lock.code.get(step.name)
        if self._source is None:
            self._unchecked[step.name] = f"step {step.name}: there is nowhere to look for {target}"
            return None
        try:
            program = self._source.load(target)
        except UsageError as error:
            self._unchecked[step.name] = f"step {step.name}: {error}"
            return None
        if program.code != recorded and not self._against:
            self._unchecked[step.name] = f"{program.where}: {changed_code(step.name, target, program, recorded)}"
            return None
        return RunningProgram(
            program,
            path=path,
            attempt=step.attempt,
            inputs=program_inputs(self.state, step),
            seed=self.state.seed,
            at_us=self.state.at,
        )

    async def _pass_over(self, path: StepPath) -> None:
        """Take what an unchecked program said as it stands: what others said in this turn comes after it."""
        if self._next >= len(self._rows):
            return
        event = checked(self._run, self._rows[self._next], self._prev, self._next).event
        if isinstance(event, StepAdvanced) and event.path == path:
            await self._turn(await self._read())

    async def _expect(self, advance: StepAdvanced) -> None:
        """The next record must say what the program says now."""
        if self._next >= len(self._rows):
            return  # the process ended before this advance was recorded
        record = await self._read()
        event = record.event
        if not isinstance(event, StepAdvanced) or replace(event, at="") != replace(advance, at=""):
            if isinstance(event, StepAdvanced) and event.path == advance.path:
                what = "the program asks something else than it did"
            else:
                what = "the program asks where the journal has another record"
            self._diverge(record.seq, event, advance, what)
        await self._turn(record)

    # --- differences ------------------------------------------------------------------------------------------

    def _diverge(self, seq: int, recorded: Event | None, current: Event | None, what: str) -> NoReturn:
        shown = current if current is not None else recorded
        raise _DivergenceFoundError(
            Divergence(
                seq,
                *_place(shown),
                what,
                self._where(shown),
                None if recorded is None else {type(recorded).__name__: _data(recorded)},
                None if current is None else {type(current).__name__: _data(current)},
            )
        )

    def _where(self, event: Event | Input | None) -> str:
        if isinstance(event, StepAdvanced) and event.at:
            return event.at
        step, _ = _place(event)
        if step is None:
            return ""
        name = step.partition("[")[0].partition("/")[0]
        spec = self.state.spec
        for part in ("prompt", "run", "uses"):
            if found := spec.place(f"steps.{name}.{part}"):
                return found
        return spec.place(f"steps.{name}")


def _place(event: Event | None) -> tuple[str | None, str | None]:
    """Step and call of an event, where it has them."""
    call = getattr(event, "call", None)
    if call is not None:
        return str(split_position(call)[0]), str(call)
    path = getattr(event, "path", None)
    return (None if path is None else str(path)), None


def _data(event: Event) -> dict[str, Any]:
    return dict(msgspec.json.decode(msgspec.json.encode(event, order="sorted")))


def _essence(event: Event) -> tuple[str, dict[str, Any]]:
    """What is compared against another plan: everything but what only follows from the change."""
    data = {name: value for name, value in _data(event).items() if name not in _FOLLOWING}
    return type(event).__name__, data


def _shown(body: bytes) -> Any:
    try:
        return parse(body)
    except ValueError:
        return body.decode("utf-8", "replace")
