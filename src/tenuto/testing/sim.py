"""A seeded simulator: one run on a simulated clock, killed wherever a test wants, and resumed.

    sim = Simulation(plan(prompt("a"), prompt("b")), seed=7)
    whole = sim.run().result
    for n in range(sim.appends):
        again = Simulation(plan(prompt("a"), prompt("b")), seed=7)
        assert again.crash_at_append(n)
        assert again.resume().result == whole

Everything is in memory and in one thread; time moves when all tasks wait. `seed` decides all answers; `schedule`
decides latencies and so the order in which answers come, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE
from tenuto.core.agents import AgentSpec
from tenuto.core.events import Event
from tenuto.core.events.call import ModelReplied, ToolReturned
from tenuto.core.ids import Digest, RunId
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest
from tenuto.core.plan import Plan
from tenuto.core.records import decode
from tenuto.core.requests import AnswerCall
from tenuto.core.state import Call, ExecutionState
from tenuto.core.tools import ToolCall, ToolSpec
from tenuto.errors import RefusedRequestError
from tenuto.ports.journal import Session, StoredRecord
from tenuto.ports.model import ModelProvider, OnText
from tenuto.ports.plans import PlanReader
from tenuto.ports.tools import Tool, ToolContext, ToolOutput
from tenuto.runtime.contents import Contents
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.loading import load_state
from tenuto.testing.builders import Functions, StepFunction
from tenuto.testing.clock import ManualClock
from tenuto.testing.simulated_time import simulated_loop

__all__ = ["SimulatedCrash", "Simulation"]


class SimulatedCrash(BaseException):
    """The process is gone. Not an Exception: nothing may handle it as a failure of the work."""


class _Faults:
    """Counts the points where a process can die, and lets it die at one of them."""

    def __init__(self) -> None:
        self.appends = 0
        self.awaits = 0
        self.at: tuple[str, int] | None = None
        self.dead = False
        self.gone = asyncio.Event()

    def journal(self, point: str) -> None:
        """A point of the journal: `append:before`, `create:after` and so on."""
        if self.dead:
            raise SimulatedCrash
        what, _, side = point.partition(":")
        if what in ("append", "create"):
            self._pass(f"append:{side}", self.appends)
            self.appends += side == "after"

    async def effect(self, side: str, number: int) -> None:
        """Just before an effect reaches the world, or just after, with its outcome on the way."""
        if self.at == (f"await:{side}", number):
            self.dead = True
            self.gone.set()
        if self.dead:
            await asyncio.get_running_loop().create_future()

    def _pass(self, point: str, number: int) -> None:
        if self.at == (point, number):
            self.dead = True
            self.gone.set()
            raise SimulatedCrash


class _Journal(InMemoryJournal):
    """A journal that remembers its sessions, so that those of a dead process can lapse."""

    def __init__(self, clock: ManualClock, faults: Callable[[str], None], commit_us: int) -> None:
        super().__init__(clock, faults=faults, commit_us=commit_us)
        self.sessions: list[str] = []

    async def open_session(self, worker: str) -> Session:
        session = await super().open_session(worker)
        self.sessions.append(session.name)
        return session


class _Outside:
    """The world's side of all effects: what it was asked, how long it takes, and the points where a kill hits."""

    def __init__(self, faults: _Faults, clock: ManualClock, schedule: int, latency_us: tuple[int, int]) -> None:
        self.faults = faults
        self.clock = clock
        self.calls: Counter[tuple[str, str]] = Counter()
        self.tokens = 0
        self._draw = random.Random(f"schedule {schedule}")
        self._latency_us = latency_us

    @asynccontextmanager
    async def reached(self, call: str, fingerprint: str) -> AsyncIterator[None]:
        """An effect in the world: counted there from its beginning."""
        number = self.faults.awaits
        self.faults.awaits += 1
        await self.faults.effect("before", number)
        self.calls[call.partition("/")[2], fingerprint] += 1
        await self.clock.sleep(self._draw.randint(*self._latency_us))
        yield
        await self.faults.effect("after", number)


class _Models(ModelProvider):
    def __init__(self, inner: ModelProvider, outside: _Outside) -> None:
        self._inner = inner
        self._outside = outside

    def profile(self, model: str) -> ModelProfile:
        return self._inner.profile(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        async with self._outside.reached(request.call, request.fingerprint):
            reply = await self._inner.complete(request, deadline_us=deadline_us, on_text=on_text)
            self._outside.tokens += reply.usage.input_tokens + reply.usage.output_tokens
        return reply

    async def close(self) -> None:
        await self._inner.close()


class _Tool(Tool):
    def __init__(self, inner: Tool, outside: _Outside) -> None:
        self._inner = inner
        self._outside = outside

    @property
    def spec(self) -> ToolSpec:
        return self._inner.spec

    async def invoke(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        async with self._outside.reached(call.call, call.key):
            return await self._inner.invoke(call, context)

    async def reconcile(self, call: ToolCall) -> ToolOutput | None:
        return await self._inner.reconcile(call)


class Simulation:
    """One run of one plan. `seed` decides answers, `schedule` the order in which they come.

    `people` answers whatever waits for a person. `tools` should be `async`: a thread takes real time. `files` are
    the repository. `appends` and `awaits` count the places where a crash can be put, `effects` what the world was
    asked, by (position, fingerprint or key).
    """

    def __init__(
        self,
        plan: Plan,
        *,
        seed: int = 0,
        schedule: int = 0,
        agents: Iterable[AgentSpec] = (),
        tools: Iterable[Tool] = (),
        functions: Mapping[str, StepFunction] | None = None,
        files: Mapping[str, str] | None = None,
        inputs: Mapping[str, Any] | None = None,
        model: ModelProvider | None = None,
        max_parallel: int = 4,
        latency_us: tuple[int, int] = (1_000, 50_000),
        commit_us: int = 500,
        run_id: str = "sim",
        plans: PlanReader | None = None,
        people: Callable[[Call], AnswerCall] | None = None,
    ) -> None:
        self.plan = plan
        self.run_id = RunId(run_id)
        self.clock = ManualClock()
        self.functions = Functions(functions)
        self._faults = _Faults()
        self._outside = _Outside(self._faults, self.clock, schedule, latency_us)
        self.agents = {a.name: a for a in agents}
        self._files = dict(files or {})
        self._inputs = dict(inputs or {})
        self._seed = seed
        self._tools = Toolbox([_Tool(tool, self._outside) for tool in tools])
        self._models = _Models(model or LocalMockAdapter(seed, clock=self.clock), self._outside)
        self._max_parallel = max_parallel
        self.journal = _Journal(self.clock, self._faults.journal, commit_us)
        self.artifacts = InMemoryArtifactStore()
        self._plans = plans
        self._people = people
        self._engines = 0

    # --- what a test does -------------------------------------------------------------------------------------

    def run(self) -> ExecutionState:
        """Start the run and drive it until it ends or waits for a person."""
        state = self._live(self._execute)
        if state is None:
            raise AssertionError("nobody asked for a crash")
        return state

    def crash_at_append(
        self,
        number: int,
        *,
        after: bool = False,
        work: Callable[[PlanExecutionEngine], Coroutine[Any, Any, ExecutionState]] | None = None,
    ) -> bool:
        """Start the run, or do other `work`, and die at the append with that number (from 0, all engines together),
        just before it or just after it.

        False where the work came to its end before.
        """
        return self._crash(f"append:{'after' if after else 'before'}", number, work or self._execute)

    def crash_at_await(self, number: int, *, after: bool = False) -> bool:
        """Start the run and die where the effect of that number (from 0) reaches the world, or has done its work."""
        return self._crash(f"await:{'after' if after else 'before'}", number, self._execute)

    def resume(self, **options: Any) -> ExecutionState:
        """Resume with a new engine; `options` are those of `PlanExecutionEngine.resume`.

        Starts a run of which nothing was recorded before the crash, and leaves an ended one as it is.
        """
        state = self._live(lambda engine: self._resume(engine, options))
        if state is None:
            raise AssertionError("nobody asked for a crash")
        return state

    def crash_in_resume(self, number: int, *, after: bool = False) -> bool:
        """Resume and die at that append of the resumed engine. False where it came to its end before."""
        number += self._faults.appends
        return self._crash(f"append:{'after' if after else 'before'}", number, lambda e: self._resume(e, {}))

    def play(self, work: Callable[[PlanExecutionEngine], Coroutine[Any, Any, Any]]) -> Any:
        """Run anything with a new engine over the same stores, on the simulated clock."""
        with asyncio.Runner(loop_factory=simulated_loop(self.clock)) as runner:
            return runner.run(self._with_engine(work))

    def engine(self) -> PlanExecutionEngine:
        """A further engine over the same stores and the same world."""
        self._engines += 1
        return PlanExecutionEngine(
            journal=self.journal,
            artifacts=self.artifacts,
            models=self._models,
            tools=self._tools,
            workspace=self._workspace,
            clock=self.clock,
            programs=self.functions,
            plans=self._plans,
            max_parallel=self._max_parallel,
            worker=f"engine{self._engines}",
            inbox_poll_us=None,
        )

    # --- what a test sees -------------------------------------------------------------------------------------

    @property
    def appends(self) -> int:
        """Appends of all engines so far."""
        return self._faults.appends

    @property
    def awaits(self) -> int:
        """Effects that reached the world so far."""
        return self._faults.awaits

    @property
    def effects(self) -> Counter[tuple[str, str]]:
        """How often the world was asked, by (position, fingerprint of a model call or key of a tool call)."""
        return self._outside.calls

    @property
    def tokens_outside(self) -> int:
        """Tokens of all answers that the models gave, whether they were recorded or lost."""
        return self._outside.tokens

    def records(self, run: str | None = None) -> list[StoredRecord]:
        """What the journal holds."""

        async def read() -> list[StoredRecord]:
            return [record async for record in self.journal.read(RunId(run or self.run_id))]

        with asyncio.Runner(loop_factory=simulated_loop(self.clock)) as runner:
            return runner.run(read())

    def state(self) -> ExecutionState:
        """What the journal folds to."""
        with asyncio.Runner(loop_factory=simulated_loop(self.clock)) as runner:
            return runner.run(load_state(self.journal, Contents(self.journal, self.artifacts), self.run_id))

    def events(self) -> list[Event]:
        """The events of all records; large bodies are not at hand."""
        return [decode(record.body).event for record in self.records()]

    def answered(self) -> set[str]:
        """Positions of the calls whose outcome is recorded."""
        return {str(event.call) for event in self.events() if isinstance(event, (ModelReplied, ToolReturned))}

    # --- inside -----------------------------------------------------------------------------------------------

    def _workspace(self, contents: Contents) -> TreeWorkspace:
        return TreeWorkspace(contents, Path("no-directories-in-simulations"))

    async def repository(self, engine: PlanExecutionEngine) -> Digest:
        """The tree that runs start from; durable when this returns."""
        edit = await engine.workspace.edit(EMPTY_TREE)
        for path, text in self._files.items():
            await edit.write(path, text.encode())
        return await edit.commit()

    async def _execute(self, engine: PlanExecutionEngine) -> ExecutionState:
        tree = await self.repository(engine)
        state = await engine.execute(
            self.plan, tree, self.run_id, inputs=self._inputs, agents=self.agents, seed=f"seed {self._seed}"
        )
        return await self._answer(engine, state)

    async def _answer(self, engine: PlanExecutionEngine, state: ExecutionState) -> ExecutionState:
        """Let people answer whatever the run waits for, until it has ended."""
        while self._people is not None and not state.ended and state.people:
            for call in sorted((c for c in state.calls.values() if c.asks_person), key=lambda c: c.position):
                # A process that died may have left the answer in the inbox already.
                with contextlib.suppress(RefusedRequestError):
                    await engine.request(self.run_id, self._people(call))
            state = await engine.resume(self.run_id)
        return state

    async def _resume(self, engine: PlanExecutionEngine, options: Mapping[str, Any]) -> ExecutionState:
        if not any(entry.run == self.run_id for entry in await self.journal.runs()):
            return await self._execute(engine)
        state = await load_state(self.journal, engine.contents, self.run_id)
        return state if state.ended else await self._answer(engine, await engine.resume(self.run_id, **options))

    def _crash(
        self, point: str, number: int, work: Callable[[PlanExecutionEngine], Coroutine[Any, Any, ExecutionState]]
    ) -> bool:
        self._faults.at = (point, number)
        return self._live(work) is None

    def _live(
        self, work: Callable[[PlanExecutionEngine], Coroutine[Any, Any, ExecutionState]]
    ) -> ExecutionState | None:
        """The life of one process: None when it died."""
        self._faults.dead = False
        try:
            with asyncio.Runner(loop_factory=simulated_loop(self.clock)) as runner:
                state: ExecutionState = runner.run(self._with_engine(work))
                return state
        except SimulatedCrash:
            return None
        finally:
            self._faults.at = None
            self._faults.dead = False
            for session in self.journal.sessions:
                self.journal.expire(session)

    async def _with_engine(self, work: Callable[[PlanExecutionEngine], Coroutine[Any, Any, Any]]) -> Any:
        engine = self.engine()
        self._faults.gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        gone, living = loop.create_task(self._faults.gone.wait()), loop.create_task(work(engine))
        await asyncio.wait({gone, living}, return_when=asyncio.FIRST_COMPLETED)
        if not self._faults.dead:
            gone.cancel()
            await engine.close()
            return living.result()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        # A process that is killed says nothing more: whatever its tasks still wanted is not heard.
        await asyncio.gather(living, *tasks, return_exceptions=True)
        raise SimulatedCrash
