"""Driving one run: inputs enter one at a time, turns are committed, then adopted, published and carried out.

    outcome -> pending state -> intents -> append in one commit -> adopt -> publish -> effects -> next outcome

Outcomes that arrive while a commit is under way share the next one. If an append fails the pending state is dropped
and the driver stops: what failed is ours, and never becomes a recorded result.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tenuto.core.advances import said
from tenuto.core.calls import tool_call_again
from tenuto.core.canonical import digest
from tenuto.core.commands import CallModel, CallTool, Command, LoadPlan, MergeTrees, ReconcileCall, SetTimer
from tenuto.core.content import INLINE_MAX
from tenuto.core.decide import idle, outstanding_timers, waits_for_people, waits_for_program
from tenuto.core.events import Event, Input
from tenuto.core.events.call import (
    CallReconciled,
    ModelCallFailed,
    ModelReplied,
    ToolCallFailed,
    ToolReturned,
    TreesMerged,
)
from tenuto.core.events.plan import PlanLoaded
from tenuto.core.events.program import StepAdvanced, TimerFired
from tenuto.core.events.run import RunResumed
from tenuto.core.events.step import StepCancelled
from tenuto.core.ids import Digest, RunId, StepPath, call_id, split_position
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.core.requests import Refusal, Request, admit
from tenuto.core.snapshots import write_snapshot
from tenuto.core.state import ExecutionState, ProgramFrame
from tenuto.core.tools import ToolCall
from tenuto.core.turn import Turn, take
from tenuto.errors import FencedError
from tenuto.ports.artifacts import BlobStore
from tenuto.ports.clock import Clock
from tenuto.ports.journal import Fence, Head, Journal, Session, StoredRecord, StoredSnapshot
from tenuto.runtime.accounts import given_back, taken_by
from tenuto.runtime.bus import EventBus
from tenuto.runtime.perform import Effects
from tenuto.runtime.programs import RunningProgram
from tenuto.runtime.published import Published

__all__ = ["Load", "RunDriver"]

SNAPSHOT_FIRST = 4_096
"""Records after which a run gets its first snapshot: fewer are folded in a moment."""
_FOLLOWED = frozenset((StepCancelled, RunResumed))
"""The events that end or set again what is under way."""
_OUTCOMES = (ModelReplied, ModelCallFailed, ToolReturned, ToolCallFailed, CallReconciled, TreesMerged, PlanLoaded)


class Load:
    """How many effects of an engine are under way, over all its runs."""

    __slots__ = ("effects",)

    def __init__(self) -> None:
        self.effects = 0


class RunDriver:
    """Drives one run to its end, or to where nobody but a person can move it. Belongs to one event loop."""

    def __init__(
        self,
        *,
        state: ExecutionState,
        fence: Fence | None,
        journal: Journal,
        session: Session,
        large: BlobStore,
        effects: Effects,
        clock: Clock,
        bus: EventBus,
        load: Load,
        start_program: Callable[[ExecutionState, StepPath], RunningProgram],
        programs: dict[StepPath, RunningProgram],
        grace_us: int,
        founding: Sequence[bytes] = (),
        redactor: Redactor = NOTHING_SECRET,
    ) -> None:
        """`founding` are the bodies that the run's first record names; they are committed with it.

        Every input passes `redactor` before anything is made of it."""
        self.state = state
        self._fence = fence
        self._journal = journal
        self._session = session
        self._large = large
        self._effects = effects
        self._clock = clock
        self._bus = bus
        self._load = load
        self._start_program = start_program
        self._programs = programs
        self._grace_us = grace_us
        self._founding = founding
        self._redactor = redactor
        self._arrived: deque[Input] = deque()
        self._asked: deque[tuple[str, int, Request | None]] = deque()
        self._waker: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelled: list[asyncio.Task[None]] = []
        self._wall_zero = clock.now_us() - clock.monotonic_us()
        self._stopping = False
        self._snapshot_at = max(SNAPSHOT_FIRST, 2 * state.seq)

    @property
    def fence(self) -> Fence | None:
        """The proof of ownership; None before the run's first commit."""
        return self._fence

    def stop(self) -> None:
        """Leave the run as it is, after the commit that is under way: open calls are lost, as after a crash."""
        self._stopping = True
        self._wake()

    def offer(self, key: str, asked_at_us: int, request: Request | None) -> None:
        """Take a request of the inbox into the journal with the next commit. Refused ones are only taken out.

        None stands for a row that nobody can read.
        """
        self._asked.append((key, asked_at_us, request))
        self._wake()

    # --- the loop ---------------------------------------------------------------------------------------------

    async def drive(self, first: Input) -> None:
        """Run until nothing can move without a person, or `stop`. Raises what makes going on impossible."""
        try:
            await self._loop([first])
        finally:
            await self._end_tasks()
        if not self.state.ended:
            await self._keep_snapshot()
        elif self._fence is not None:
            await self._journal.drop_snapshot(self._fence)

    async def _loop(self, inputs: list[Input]) -> None:
        while True:
            await self._turns(inputs)
            if self.state.status not in ("running", "cancelling", "paused"):
                return
            if self.state.status == "paused" and not (self.state.open_calls or self.state.merges_open):
                return
            if not self._arrived and not self._asked:
                if (not self._tasks and idle(self.state)) or self._waits_for_people():
                    return
                await self._wait()
            if self._stopping:
                return
            inputs = list(self._arrived)
            self._arrived.clear()

    async def _keep_snapshot(self) -> None:
        """Spare the next opener the fold. Every time twice as far on, so that the cost per record stays the same."""
        self._snapshot_at = max(SNAPSHOT_FIRST, 2 * self.state.seq)
        if self._fence is not None:
            body = write_snapshot(self.state)
            await self._journal.put_snapshot(self._fence, StoredSnapshot(self.state.seq, self.state.head, body))

    def _waits_for_people(self) -> bool:
        """Nothing moves by itself any more: a waiting run needs no process, not even to see a time run out.

        A time that is over already still ends its question."""
        if not waits_for_people(self.state) or not all(name.startswith("timer:") for name in self._tasks):
            return False
        now = self._wall_zero + self._clock.monotonic_us()
        return all(due_us > now for due_us in self.state.timers.values())

    async def _turns(self, inputs: Sequence[Input]) -> None:
        """Take all inputs, each with what follows, and commit them together."""
        at = max(self._wall_zero + self._clock.monotonic_us(), self.state.at)
        turns: list[Turn] = []
        state = self.state
        for event in inputs:
            if not _stale(state, event):
                state = self._turn(state, event, at, turns)
        taken: list[str] = []
        while self._asked:
            key, asked_at, request = self._asked.popleft()
            taken.append(key)
            admitted = None if request is None else admit(state, request, asked_at_us=asked_at)
            if admitted is not None and not isinstance(admitted, Refusal):
                state = self._turn(state, admitted, at, turns)
        if not turns and not taken:
            return
        await self._commit(state.run, turns, taken)
        self.state = state
        if state.seq >= self._snapshot_at:
            await self._keep_snapshot()
        self._publish(turns, at)
        self._release(turns)

    def _turn(self, state: ExecutionState, event: Input, at: int, turns: list[Turn]) -> ExecutionState:
        turn = take(state, self._redactor.event(event), at=at)
        turns.append(turn)
        state = turn.state
        for path in dict.fromkeys(state.fed):
            for advance in self._advance(state, path):
                state = self._turn(state, advance, at, turns)
        return state

    def _advance(self, state: ExecutionState, path: StepPath) -> list[StepAdvanced]:
        """Run a program as far as what it was told carries it; the advances that must be recorded."""
        frame = state.steps[path].frame
        if not isinstance(frame, ProgramFrame):
            return []
        advances = []
        program = self._programs.get(path)
        if program is None or not (frame.advances or frame.fed):
            program = self._programs[path] = self._start_program(state, path)
            advances.append(program.start())
        while program.told < len(frame.fed):
            advances.append(program.feed(frame.fed[program.told]))
        recorded = [advance for advance in advances if said(advance)]
        if not recorded and waits_for_program(state):
            return advances[-1:]
        return recorded

    async def _commit(self, run: RunId, turns: Sequence[Turn], taken: Sequence[str]) -> None:
        records = [StoredRecord(e.seq, e.hash, e.body) for turn in turns for e in turn.entries]
        small: dict[Digest, bytes] = {}
        large: list[bytes] = []
        founding = [(digest(body), body) for body in self._founding]
        self._founding = ()
        for name, body in [*founding, *_bodies_of(turns)] if founding else _bodies_of(turns):
            if len(body) > INLINE_MAX:
                large.append(body)
            else:
                small[name] = body
        if large:
            await self._large.put_many(large)
        if self._fence is None:
            first = turns[0].entries[0].event
            self._fence = await self._journal.create(
                run, self._session, records, small, takes=taken_by(first), gives=given_back(turns[-1].state)
            )
            return
        await self._journal.append(
            self._fence,
            Head(self.state.seq, self.state.head),
            records,
            small,
            taken=taken,
            gives=given_back(turns[-1].state) if turns else None,
            alone=self._load.effects == 0,
        )

    def _publish(self, turns: Sequence[Turn], at: int) -> None:
        bus, run, state = self._bus, self.state.run, self.state
        if bus.silent:
            return
        for turn in turns:
            for entry in turn.entries:
                bus.emit(entry.event)
                bus.emit(Published(run, entry.seq, at, entry.hash, entry.event, state))

    # --- effects ----------------------------------------------------------------------------------------------

    def _release(self, turns: Sequence[Turn]) -> None:
        """Start what the commit has made durable; end what it has cancelled."""
        for turn in turns:
            for entry in turn.entries:
                if type(entry.event) in _FOLLOWED:
                    self._follow(entry.event)
        for turn in turns:
            for command in turn.commands:
                self._perform(command)

    def _follow(self, event: Event) -> None:
        if isinstance(event, StepCancelled):
            for name in [name for name in self._tasks if _path_of(name) == event.path]:
                self._cancelled.append(self._cancel(name))
            program = self._programs.pop(event.path, None)
            if program is not None:
                program.close()
        elif isinstance(event, RunResumed):
            for timer, due_us in outstanding_timers(self.state).items():
                self._spawn(f"timer:{timer}", self._timer, timer, due_us)

    def _perform(self, command: Command) -> None:
        state, effects = self.state, self._effects
        self._require_lease()
        match command:
            case CallModel(event) if event.call in state.calls:
                self._spawn(
                    event.call, effects.call_model, state.run, command, self._require_lease, state.spec.lock.strict
                )
            case CallTool(event) if event.call in state.calls:
                self._spawn(event.call, effects.call_tool, state.run, state.spec.registry, command)
            case LoadPlan(event) if event.call in state.calls:
                self._spawn(event.call, effects.load_plan, state, command)
            case MergeTrees(event) if event.call in state.calls:
                self._spawn(event.call, effects.merge, command)
            case ReconcileCall(event) if event.call in state.calls:
                self._spawn(event.call, effects.reconcile, self._doubtful(command), command)
            case SetTimer(event) if event.timer in state.timers and f"timer:{event.timer}" not in self._tasks:
                self._spawn(f"timer:{event.timer}", self._timer, event.timer, event.due_us)
            case _:
                """A later turn of the same commit has taken the call back."""

    def _require_lease(self) -> None:
        """No effect starts when the lease is nearly over, also one that had to wait for its turn."""
        if self._clock.monotonic_us() >= self._session.safe_until_us():
            raise FencedError(
                "the lease of this engine is over; nothing more is started",
                where=f"run {self.state.run}",
                fix="another engine may have the run: see `tenuto show`",
            )

    def _doubtful(self, command: ReconcileCall) -> ToolCall:
        state = self.state
        call = state.calls[command.event.call]
        tool, arguments, tree = tool_call_again(state, call)
        path, attempt, _ = split_position(call.position)
        return ToolCall(
            arguments=arguments.raw,
            attempt=attempt,
            call=call_id(state.run, call.position),
            key=call.key or Digest(""),
            run=state.run,
            step=path,
            tool=tool,
            tree=tree,
            try_number=call.try_number,
        )

    def _spawn(self, name: str, effect: Callable[..., Coroutine[Any, Any, Input]], *arguments: Any) -> None:
        self._load.effects += 1
        self._tasks[name] = asyncio.get_running_loop().create_task(self._effect(name, effect, arguments))

    async def _effect(
        self, name: str, effect: Callable[..., Coroutine[Any, Any, Input]], arguments: tuple[Any, ...]
    ) -> None:
        try:
            self._arrived.append(await effect(*arguments))
        except Exception as error:  # noqa: BLE001  # raised again by the loop that waits for it
            if self._failure is None:
                self._failure = error
        finally:
            self._ended(name)
            self._wake()

    def _ended(self, name: str) -> None:
        if self._tasks.pop(name, None) is not None:
            self._load.effects -= 1

    def _cancel(self, name: str) -> asyncio.Task[None]:
        """Cancel an effect. One that had not begun never gets to its own end, so the books are kept here."""
        task = self._tasks[name]
        task.cancel()
        self._ended(name)
        return task

    async def _timer(self, timer: str, due_us: int) -> TimerFired:
        wait = due_us - (self._wall_zero + self._clock.monotonic_us())
        if wait > 0:
            await self._clock.sleep(wait)
        return TimerFired(timer=timer)

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    async def _wait(self) -> None:
        if self._failure is None and not self._stopping:
            self._waker = asyncio.get_running_loop().create_future()
            await self._waker
            self._waker = None
        if self._failure is not None:
            raise self._failure

    async def _end_tasks(self) -> None:
        """Nothing of this run goes on after it: tasks are cancelled and get their grace."""
        for program in self._programs.values():
            program.close()
        self._programs.clear()
        tasks = [*self._cancelled, *(self._cancel(name) for name in list(self._tasks))]
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace_us / 1_000_000)


def _bodies_of(turns: Sequence[Turn]) -> list[tuple[Digest, bytes]]:
    """The bodies that the records of these turns name and do not carry."""
    found = [item for turn in turns for item in turn.blobs.items()]
    for turn in turns:
        for command in turn.commands:
            if isinstance(command, CallModel):
                found.extend(command.blobs)
    return found


def _path_of(task_name: str) -> str:
    """The step of a call's or a try's task; a timer between attempts is named `path/attempt`."""
    path = task_name.removeprefix("timer:").rpartition("/")[0]
    step, _, attempt = path.rpartition("/")
    return step if attempt.isdigit() else path


def _stale(state: ExecutionState, event: Input) -> bool:
    """An outcome of what the run does not wait for any more (its step was cancelled meanwhile)."""
    if isinstance(event, _OUTCOMES):
        call = state.calls.get(event.call)
        return call is None or call.try_number != event.try_number or call.status not in ("open", "doubt")
    if isinstance(event, TimerFired):
        return event.timer not in state.timers
    return False
