"""The kernel without a shell: a test plays the world and answers commands by hand, in any order.

    run = KernelRun(plan(prompt("fix"), command("test", needs=["fix"])))
    run.start()
    run.reply("fix/1/0", "done")
    run.returned("test/1/0", tree="T1")
    assert run.state.status == "ok"

After every turn `KernelRun` checks what must always hold: the ledger's sums, that the records fold to the live
state, that they are canonical and chained, and that nothing is left to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from tenuto.core.advances import said
from tenuto.core.agents import AgentSpec
from tenuto.core.bodies import write_body
from tenuto.core.budget import DIMENSIONS, NOTHING, Amount
from tenuto.core.canonical import canonical, parse
from tenuto.core.commands import Command
from tenuto.core.content import Content
from tenuto.core.decide import decide, waits_for_program
from tenuto.core.events import Event, Input
from tenuto.core.events.call import (
    CallReconciled,
    CallResolved,
    ModelCallFailed,
    ModelReplied,
    ToolCallFailed,
    ToolReturned,
    TreesMerged,
)
from tenuto.core.events.plan import PlanLoaded
from tenuto.core.events.program import StepAdvanced, TimerFired
from tenuto.core.events.run import RunCancelled, RunPaused, RunResumed, RunStarted
from tenuto.core.events.step import Failure
from tenuto.core.evolve import evolve, start
from tenuto.core.frames import reply_content
from tenuto.core.ids import Digest, Position, RunId, StepPath
from tenuto.core.ledger import RUN
from tenuto.core.logic import LOGIC_VERSION
from tenuto.core.merging import MergeConflict, MergedTree
from tenuto.core.models import ModelProfile, ToolCallAsk, Usage
from tenuto.core.plan import Lock, Plan, Registry
from tenuto.core.records import Record, decode, fill
from tenuto.core.requests import AnswerCall, Refusal, admit
from tenuto.core.reuse import reuse_table
from tenuto.core.reuse_table import read_table, write_table
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState, ProgramFrame
from tenuto.core.tools import ToolSpec
from tenuto.core.turn import Entry, take
from tenuto.ports.programs import Program
from tenuto.runtime.forking import Origin, Parent, forked
from tenuto.runtime.programs import RunningProgram
from tenuto.runtime.rerun import program_inputs, rerun_programs
from tenuto.testing.builders import Functions, StepFunction, plain_profile

__all__ = ["KernelRun", "asks", "check_ledger", "line"]

LIMIT_NOT_SUMMED = 2**52
"""Amounts from here on mean plenty; they are in no sum."""


def line(event: Event) -> str:
    """An event in one line: kind, and the call, timer or step it is about (`StepStarted fix/1`)."""
    kind = type(event).__name__
    for field in ("call", "timer", "path"):
        about = getattr(event, field, None)
        if about is not None:
            attempt = getattr(event, "attempt", None)
            return f"{kind} {about}" + (f"/{attempt}" if attempt is not None and field == "path" else "")
    return kind


def asks(name: str, **arguments: Any) -> ToolCallAsk:
    """A tool call as a model asks for it."""
    return ToolCallAsk(arguments=msgspec.Raw(canonical(arguments)), id=f"id-{name}", name=name)


class KernelRun:
    """One run in the kernel. `entries` are all its records, `times` those of its turns; `commands` are not answered
    yet, by call or timer."""

    def __init__(
        self,
        plan: Plan,
        *,
        agents: Iterable[AgentSpec] = (),
        tools: Iterable[ToolSpec] = (),
        profile: ModelProfile | None = None,
        functions: Mapping[str, StepFunction] | None = None,
        inputs: Mapping[str, Any] | None = None,
        run: str = "r1",
        seed: str = "seed",
        max_parallel: int = 4,
        provider_places: Mapping[str, int] | None = None,
        checked: bool = True,
        logic: int = LOGIC_VERSION,
        parent: KernelRun | None = None,
        leave_out: Sequence[str] = (),
        tree: str = "T0",
    ) -> None:
        """With a `parent` it is a fork, which has all that the plan declares to spend."""
        registry = Registry(agents={a.name: a for a in agents}, tools={t.name: t for t in tools})
        profiles = {"mock:": profile or plain_profile()}
        self.spec = RunSpec(plan, registry, Lock(at_once=dict(provider_places or {}), profiles=profiles), logic)
        self.functions = Functions(functions)
        self.state: ExecutionState = start(self.spec)
        self.entries: list[Entry] = []
        self.commands: dict[str, Command] = {}
        self.at = 1_000_000
        self.times: list[int] = []
        self._checked = checked
        self._programs: dict[StepPath, RunningProgram] = {}
        self._first = RunStarted(
            budget=plan.budget,
            inputs=Content.of(dict(inputs or {})),
            lock=self.spec.lock.digest,
            logic=self.spec.logic,
            max_parallel=max_parallel,
            plan=plan.digest,
            registry=registry.digest,
            run=RunId(run),
            seed=seed,
            tree=Digest(tree),
        )
        if parent is not None:
            self._fork(
                parent, Origin(run=parent.state.run, leave_out=tuple(map(StepPath, leave_out)), own_budget=True)
            )

    def _fork(self, parent: KernelRun, origin: Origin) -> None:
        body = write_table(reuse_table(parent.state, parent.records(), leave_out=origin.leave_out))
        known = Parent(parent.state, read_table(body), body)
        self._first = forked(self._first, self.spec, known, origin, {})
        self.spec = self.spec.forked(self._first.budget, known.table)
        self.state = start(self.spec)

    def records(self) -> list[Record]:
        """All records so far, as they would be read back."""
        return [replace(decode(entry.body), event=entry.event) for entry in self.entries]

    # --- inputs -----------------------------------------------------------------------------------------------

    def start(self) -> list[str]:
        return self.feed(self._first)

    def feed(self, event: Input) -> list[str]:
        """Take one input; the lines of all records that follow, those of programs included."""
        self.at += 1_000
        before = len(self.entries)
        self._turn(event)
        return [line(e.event) for e in self.entries[before:]]

    def reply(
        self,
        call: str,
        text: str = "ok",
        *calls: ToolCallAsk,
        usage: tuple[int, int] = (10, 5),
        violations: Sequence[str] = (),
        finish: str = "stop",
    ) -> list[str]:
        """A model answers. `usage`: input and output tokens."""
        return self.feed(
            ModelReplied(
                call=Position(call),
                finish=finish,
                reply=reply_content(text, calls),
                try_number=self._try(call),
                usage=Usage(input_tokens=usage[0], output_tokens=usage[1]),
                violations=tuple(violations),
            )
        )

    def refused(self, call: str, status: int = 429, *, retry_after_ms: int | None = None) -> list[str]:
        """A model call fails with this HTTP status; 5xx keep the hold."""
        return self.feed(
            ModelCallFailed(
                call=Position(call),
                error=Failure(call=Position(call), kind="status", message=f"HTTP {status}"),
                kept=status >= 500,
                retry_after_ms=retry_after_ms,
                retryable=status == 429 or status >= 500,
                status=status,
                try_number=self._try(call),
            )
        )

    def returned(
        self,
        call: str,
        value: Any = None,
        *,
        tree: str | None = None,
        status: Literal["ok", "error"] = "ok",
    ) -> list[str]:
        """A tool answers. For a command the value is by default an empty success."""
        command = self.commands[call]
        given = {"exit_code": 0, "stderr": "", "stdout": ""} if value is None else value
        before: Digest = command.event.tree  # type: ignore[union-attr]  # a tool call's command
        return self.feed(
            ToolReturned(
                call=Position(call),
                result=Content.of(given),
                status=status,
                tree=Digest(tree or before),
                try_number=self._try(call),
            )
        )

    def tool_lost(self, call: str, *, retryable: bool = True) -> list[str]:
        """One try of a tool call does not come back."""
        return self.feed(
            ToolCallFailed(
                call=Position(call),
                error=Failure(call=Position(call), kind="timeout", message="no answer in time"),
                retryable=retryable,
                try_number=self._try(call),
            )
        )

    def merged(self, call: str, tree: str | None, *conflicts: MergeConflict, whole: str | None = None) -> list[str]:
        """Trees were merged. `whole`: what `tree` is a part of, where the step reads but that."""
        outcome = MergedTree(
            conflicts=conflicts,
            tree=None if tree is None else Digest(tree),
            whole=None if whole is None else Digest(whole),
        )
        return self.feed(TreesMerged(call=Position(call), merged=outcome, try_number=self._try(call)))

    def fire(self, timer: str) -> list[str]:
        """A timer is over; the time is what it was set for."""
        self.at = max(self.at, self.state.timers[timer])
        self.commands.pop(timer, None)
        return self.feed(TimerFired(timer=timer))

    def resolve(self, call: str, *, done: bool, result: Any = None) -> list[str]:
        content = None if result is None else Content.of(result)
        return self.feed(CallResolved(call=Position(call), done=done, result=content, who="tester"))

    def reconcile(self, call: str, *, done: bool | None, result: Any = None) -> list[str]:
        content = None if result is None else Content.of(result)
        return self.feed(CallReconciled(call=Position(call), done=done, result=content))

    def answer(
        self, call: str, *, approved: bool, details: Any = None, note: str = "", asked_at_us: int | None = None
    ) -> list[str]:
        """A person answers, at once or at that time; a refusal of the answer is raised as ValueError."""
        edited = None if details is None else Content.of(details)
        request = AnswerCall(approved=approved, call=Position(call), details=edited, note=note, who="tester")
        admitted = admit(self.state, request, asked_at_us=self.at if asked_at_us is None else asked_at_us)
        if isinstance(admitted, Refusal):
            raise ValueError(admitted.why)
        return self.feed(admitted)

    def loaded(self, call: str, plan: Plan | None, *errors: str) -> list[str]:
        """The sub-plan that a step has produced was read, or these are its problems."""
        body = None if plan is None else Content.of_bytes(write_body(plan))
        return self.feed(PlanLoaded(call=Position(call), errors=errors, plan=body, try_number=self._try(call)))

    def pause(self) -> list[str]:
        return self.feed(RunPaused(who="tester"))

    def cancel(self) -> list[str]:
        return self.feed(RunCancelled(who="tester"))

    def resume(self, *, add_tokens: int = 0, add_time_ms: int = 0, max_parallel: int | None = None) -> list[str]:
        """Kill the engine and open the run again: commands under way are forgotten, programs are run again."""
        self.commands.clear()
        for program in self._programs.values():
            program.close()
        self._programs = rerun_programs(self.state, self._source())
        added = Amount(tokens=add_tokens) if add_tokens else NOTHING
        return self.feed(
            RunResumed(
                add_budget=added,
                add_time_ms=add_time_ms,
                max_parallel=max_parallel or self.state.max_parallel,
            )
        )

    # --- what is there ----------------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """All records so far, each in one line."""
        return [line(e.event) for e in self.entries]

    def last(self, kind: type[Event]) -> Any:
        """The newest record of that kind."""
        return next(e.event for e in reversed(self.entries) if isinstance(e.event, kind))

    def tokens(self, account: str) -> tuple[int, int, int]:
        """(free, held, spent) of an account. The run's own rest is `(run)`."""
        found = self.state.account(account)
        return found.free.tokens, found.held.tokens, found.spent.tokens

    # --- inside -----------------------------------------------------------------------------------------------

    def _try(self, call: str) -> int:
        found = self.state.calls.get(Position(call))
        self.commands.pop(call, None)
        return 1 if found is None else found.try_number

    def _turn(self, event: Input) -> None:
        before = self.state
        turn = take(before, event, at=self.at)
        self.times.append(self.at)
        self.entries.extend(turn.entries)
        for command in turn.commands:
            self.commands[_name_of(command)] = command
        self.state = turn.state
        self.commands = {n: c for n, c in self.commands.items() if n in self.state.calls or n in self.state.timers}
        if self._checked:
            self._check(before, turn.entries, turn.blobs)
        for path in dict.fromkeys(self.state.fed):
            for advance in self._advance(path):
                self._turn(advance)

    def _advance(self, path: StepPath) -> list[StepAdvanced]:
        step = self.state.steps[path]
        frame = step.frame
        if not isinstance(frame, ProgramFrame):
            return []
        advances = []
        running = self._programs.get(path)
        if running is None or not (frame.advances or frame.fed):
            running = self._programs[path] = RunningProgram(
                self._source().load(self.state.compiled(step).target),
                path=path,
                attempt=step.attempt,
                inputs=program_inputs(self.state, step),
                seed=self.state.seed,
                at_us=self.state.at,
            )
            advances.append(running.start())
        while running.told < len(frame.fed):
            advances.append(running.feed(frame.fed[running.told]))
        recorded = [advance for advance in advances if said(advance)]
        return advances[-1:] if not recorded and waits_for_program(self.state) else recorded

    def _source(self) -> Functions:
        """Programs under the code that the lock names, so that tests may build their functions anywhere."""
        return _Unlocked(self.functions.functions)

    def _check(self, before: ExecutionState, entries: Sequence[Entry], blobs: Mapping[Digest, bytes]) -> None:
        state = before
        for entry in entries:
            record = decode(entry.body)
            assert canonical(parse(entry.body)) == entry.body, f"record {entry.seq} is not canonical"
            assert (record.seq, record.prev, record.hash) == (state.seq + 1, state.head, entry.hash)
            event = fill(record.event, dict(blobs))
            assert event == entry.event, f"record {entry.seq} does not read back as it was"
            state = evolve(state, event, seq=record.seq, at=record.at, head=record.hash)
            check_ledger(state)
        assert state == self.state, "the records do not fold to the live state"
        assert decide(state) is None, "the turn ended although there is something to do"


class _Unlocked(Functions):
    def load(self, target: str) -> Program:
        found = super().load(target)
        return found._replace(code=None)  # type: ignore[arg-type]  # the lock of a KernelRun names no code


def check_ledger(state: ExecutionState) -> None:
    """What must hold after every record: sums, no negative free amounts, never over the limit."""
    plan = state.spec.plan
    held = {c.position: c.hold for c in state.calls.values() if c.hold != NOTHING}
    names = {RUN, *state.accounts, *state.spec.index}
    accounts = [state.account(name) for name in names]
    for dimension in DIMENSIONS:
        limit = getattr(plan.budget, dimension)
        on_hold = sum(getattr(amount, dimension) for amount in held.values())
        if dimension in state.spec.limited and state.accounts:
            assert sum(getattr(a.held, dimension) for a in accounts) == on_hold, f"{dimension} held"
            assert sum(getattr(a.spent, dimension) for a in accounts) == getattr(state.spent, dimension)
            for name in names:
                free = getattr(state.account(name).free, dimension)
                assert free >= 0, f"{name} has {free} {dimension} free"
        if limit is None or not state.accounts:
            continue
        limit += getattr(state.limits_added, dimension)
        granted = sum(getattr(a.granted, dimension) for a in accounts)
        assert granted == limit, f"{granted} {dimension} are granted of {limit}"
        assert getattr(state.spent, dimension) + on_hold <= limit, f"{dimension} over the limit"


def _name_of(command: Command) -> str:
    return str(getattr(command.event, "call", None) or getattr(command.event, "timer", ""))
