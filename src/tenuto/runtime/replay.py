"""Replay: run the kernel over a journal with every effect answered from it, and compare bytes.

Inputs are fed as recorded; everything the kernel derives is computed again and must be what stands in the journal,
byte for byte, hash for hash. Python programs are run again where their locked source can be imported. Nothing is
executed, nothing is asked of a model, nothing is written. The first difference ends it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import zip_longest
from typing import Any, NamedTuple, NoReturn

from msgspec.structs import replace

from tenuto.core.advances import said
from tenuto.core.canonical import parse
from tenuto.core.commands import CallModel, Command, intent
from tenuto.core.decide import waits_for_program
from tenuto.core.events import Event, Input
from tenuto.core.events.call import ModelCallRequested
from tenuto.core.events.program import StepAdvanced, TimerFired
from tenuto.core.events.run import RunEnded, RunStarted
from tenuto.core.evolve import start
from tenuto.core.ids import Digest, RunId, StepPath, split_position
from tenuto.core.records import GENESIS, Record, absent, bodies, decode, fill, is_input
from tenuto.core.spec import RunSpec
from tenuto.core.state import ROOT, ExecutionState, ProgramFrame
from tenuto.core.turn import Entry, Turn, take
from tenuto.errors import DamagedStoreError, UsageError
from tenuto.ports.journal import Journal, StoredRecord
from tenuto.ports.programs import ProgramSource
from tenuto.runtime.changed_parts import changed_place
from tenuto.runtime.compared import as_data, carried, essence, same_request, started_today
from tenuto.runtime.contents import Contents
from tenuto.runtime.loading import checked, collector_paused, load_spec
from tenuto.runtime.programs import RunningProgram
from tenuto.runtime.rerun import changed_code, program_inputs

__all__ = ["Divergence", "ReplayReport", "VerifyReport", "replay", "replay_against", "verify"]


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
    return await _Replay(rows, contents, run, spec, programs).report()


async def replay_against(
    journal: Journal, contents: Contents, run: RunId, spec: RunSpec, programs: ProgramSource | None = None
) -> ReplayReport:
    """Replay recorded outcomes against another plan, registry and lock: the first call that would differ.

    Calls (with their deadlines, grants and what their model's profile would drop), routes, their order and the ends
    of steps are compared; what only follows from the change is not. The files are those that the run started from.
    """
    rows = await _rows(journal, run)
    recorded = await load_spec(contents, checked(run, rows[0], GENESIS, 0))
    return await _Replay(rows, contents, run, spec, programs, recorded).report()


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
        recorded: RunSpec | None = None,
    ) -> None:
        self._rows = rows
        self._contents = contents
        self._run = run
        self._source = source
        self._against = recorded is not None
        self._asked: dict[int, Command] = {}
        self._was_asked: dict[int, Command] = {}
        self._before = None if recorded is None else start(recorded)
        """Against another plan: the state of the run as it was, as long as this kernel makes the same of it."""
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
        before, turn = self._before_turn(record), self._take(record)
        self._asked = {id(intent(command)): command for command in turn.commands} if self._against else {}
        self._was_asked = {}
        if before is not None:
            asked = {id(intent(command)): command for command in before.commands}
            found = ((entry.seq, asked.get(id(entry.event))) for entry in before.entries)
            self._was_asked = {seq: command for seq, command in found if command is not None}
        for number, entry in enumerate(turn.entries):
            await self._compare(entry, is_first=number == 0)
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
        if self._before is not None and isinstance(event, RunStarted):
            event = started_today(event, self._before.spec, self.state.spec)
        return take(self.state, event, at=record.at)

    def _before_turn(self, record: Record) -> Turn | None:
        """The same turn under the plan that was recorded."""
        event: Any = record.event
        if self._before is None or not is_input(event):
            return None
        turn = take(self._before, event, at=record.at)
        rows = self._rows[self._next : self._next + len(turn.entries)]
        if [row.body for row in rows] != [entry.body for entry in turn.entries]:
            self._before = None
            return None
        self._before = turn.state
        return turn

    async def _compare(self, entry: Entry, *, is_first: bool) -> None:
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
            now = decode(entry.body).event  # as it is stored: long bodies by their names
            if not self._against or _differs(recorded.event, now):
                await self._differ(recorded, entry)
        sides = self._requests(entry)
        if sides is not None and not same_request(*sides):
            self._unequal(entry, carried(sides[0], sides[2]), carried(sides[1], sides[3]))
        self._prev = row.hash
        self._next += 1

    def _requests(self, entry: Entry) -> tuple[Command, Command, RunSpec, RunSpec] | None:
        """The command of a record as it was and as it is now, each with its plan, where both are known."""
        old, new = self._was_asked.get(entry.seq), self._asked.get(id(entry.event))
        if old is None or new is None or self._before is None:
            return None
        return old, new, self._before.spec, self.state.spec

    async def _differ(self, recorded: Record, entry: Entry) -> NoReturn:
        event = decode(entry.body).event
        if is_input(recorded.event) or type(recorded.event) is not type(event):
            name = type(recorded.event).__name__
            now = type(event).__name__
            self._diverge(entry.seq, recorded.event, entry.event, f"recorded {name}, now {now}")
        old, new = as_data(recorded.event), as_data(event)
        sides = self._requests(entry)
        if sides is not None:
            old |= carried(sides[0], sides[2])
            new |= carried(sides[1], sides[3])
        elif isinstance(recorded.event, ModelCallRequested):
            old["messages"] = await self._messages(recorded.event.parts)
            command = self._asked.get(id(entry.event))
            if isinstance(command, CallModel):
                shown = {digest: _shown(body) for digest, body in command.blobs}
                new["messages"] = [shown.get(part.digest, part.digest) for part in command.event.parts]
        self._unequal(entry, old, new)

    def _unequal(self, entry: Entry, old: dict[str, Any], new: dict[str, Any]) -> NoReturn:
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        before, after = old.get("config") or {}, new.get("config") or {}
        named = {*changed, *(key for key in {*before, *after} if before.get(key) != after.get(key))}
        raise _DivergenceFoundError(
            Divergence(
                entry.seq,
                *_place(entry.event),
                f"{type(entry.event).__name__} differs in {', '.join(changed)}",
                self._where(entry.event, named),
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
            guarded=self.state.spec.lock.guarded,
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
            call: str | None = None
            if isinstance(event, StepAdvanced) and event.path == advance.path:
                what = "the program asks something else than it did"
                call = _first_other_ask(event, advance)
            else:
                what = "the program asks where the journal has another record"
            self._diverge(record.seq, event, advance, what, call=call)
        await self._turn(record)

    # --- differences ------------------------------------------------------------------------------------------

    def _diverge(
        self, seq: int, recorded: Event | None, current: Event | None, what: str, *, call: str | None = None
    ) -> NoReturn:
        shown = current if current is not None else recorded
        step, at = _place(shown)
        if at is None and _place(recorded)[0] == step:
            at = _place(recorded)[1]  # a call that is not made now
        raise _DivergenceFoundError(
            Divergence(
                seq,
                step,
                call or at,
                what,
                self._where(shown),
                None if recorded is None else {type(recorded).__name__: as_data(recorded)},
                None if current is None else {type(current).__name__: as_data(current)},
            )
        )

    def _where(self, event: Event | Input | None, differing: Collection[str] = ()) -> str:
        if isinstance(event, StepAdvanced) and event.at:
            return event.at
        path, _ = _place(event)
        names = self._names(path)
        spec = self.state.spec
        if self._before is not None and (place := changed_place(self._before.spec, spec, names, differing)):
            return place
        if not names:
            return ""
        part = "steps." + ".plan.steps.".join(names)
        if "sent" in differing:  # what is known of the model has changed, not the plan
            return spec.place(f"{part}.model") or spec.place("defaults.model") or spec.place(part)
        kinds = (f"{part}.{key}" for key in ("prompt", "run", "uses", "plan", "approval", "wait"))
        return next(filter(None, map(spec.place, kinds)), spec.place(part) or spec.place(f"steps.{names[0]}"))

    def _names(self, path: str | None) -> list[str]:
        """The names of the steps that lead to a path, the outermost first."""
        names: list[str] = []
        step = None if path is None else self.state.steps.get(StepPath(path))
        while step is not None:
            names.insert(0, step.name)
            step = None if step.block == ROOT else self.state.steps.get(step.block)
        if path and not names:
            names = [re.split(r"[/\[#]", path, maxsplit=1)[0]]
        return names


def _first_other_ask(recorded: StepAdvanced, current: StepAdvanced) -> str | None:
    """The call of the first ask that is not the recorded one."""
    pairs = zip_longest(recorded.asks, current.asks)
    ask = next((new or old for old, new in pairs if old != new), None)
    return None if ask is None else f"{current.path}/{current.attempt}/{ask.ordinal}"


def _differs(recorded: Event, current: Event) -> bool:
    return type(recorded) is not type(current) or essence(recorded) != essence(current)


def _place(event: Event | None) -> tuple[str | None, str | None]:
    """Step and call of an event, where it has them."""
    call = getattr(event, "call", None)
    if call is not None:
        return str(split_position(call)[0]), str(call)
    path = getattr(event, "path", None)
    return (None if path is None else str(path)), None


def _shown(body: bytes) -> Any:
    try:
        return parse(body)
    except ValueError:
        return body.decode("utf-8", "replace")
