"""How fast a provider is asked: by a clock that a test moves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.commands import CallModel
from tenuto.core.content import Content
from tenuto.core.events.call import ModelCallFailed, ModelReplied
from tenuto.core.events.step import Failure
from tenuto.core.ids import Position, RunId
from tenuto.core.models import ModelProfile, ModelReply, Served, Usage
from tenuto.core.redaction import NOTHING_SECRET
from tenuto.errors import FencedError
from tenuto.ports.model import ModelProvider, OnText
from tenuto.runtime.bus import EventBus
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.pacing import Pace, ProviderLimits, ProviderRests
from tenuto.runtime.perform import Effects
from tenuto.testing.builders import plan, prompt
from tenuto.testing.clock import ManualClock
from tenuto.testing.kernel import KernelRun

CALL = Position("s/1/0")
SECOND = 1_000_000
MINUTE = 60 * SECOND


def answered(tokens: int = 0) -> ModelReplied:
    usage = Usage(input_tokens=tokens)
    return ModelReplied(call=CALL, finish="stop", reply=Content.of(""), served=Served(), try_number=1, usage=usage)


def failed(kind: str = "server", *, kept: bool = True, retry_after_ms: int | None = None) -> ModelCallFailed:
    error = Failure(call=CALL, kind=kind, message=kind)
    return ModelCallFailed(
        call=CALL, error=error, kept=kept, retry_after_ms=retry_after_ms, retryable=True, try_number=1
    )


class Asking:
    """Calls that are made as soon as they may be; each takes `takes_us`, and ends as `outcome` says."""

    def __init__(
        self, limits: ProviderLimits, *, takes_us: int = 0, outcome: Callable[[int], Any] = lambda _: answered()
    ) -> None:
        self.clock = ManualClock()
        self.told: list[ProviderRests] = []
        self.pace = Pace({"openai": limits}, self.clock, self.told.append)
        self.takes_us = takes_us
        self.outcome = outcome
        self.begun: list[tuple[int, int]] = []
        self.open = 0
        self.most_open = 0

    async def call(self, number: int, tokens: int = 1, model: str = "openai:m") -> None:
        async with self.pace.turn(model, tokens) as turn:
            self.begun.append((self.clock.monotonic_us(), number))
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            if self.takes_us:
                await self.clock.sleep(self.takes_us)
            self.open -= 1
            turn.outcome = self.outcome(len(self.begun))

    async def all(self, calls: list[int]) -> list[int]:
        """Make a call of each of these sizes; the moments at which they began."""
        tasks = [asyncio.create_task(self.call(n, tokens)) for n, tokens in enumerate(calls)]
        while not all(task.done() for task in tasks):
            for _ in range(4 * len(tasks)):
                await asyncio.sleep(0)
            due = self.clock.next_due_us()
            if due is not None:
                self.clock.advance_us(due)
        for task in tasks:
            task.result()
        return [at for at, _ in self.begun]


def most_in_a_minute(moments: list[tuple[int, int]]) -> int:
    return max(sum(n for at, n in moments if start <= at < start + MINUTE) for start, _ in moments)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 90))
def test_no_minute_sees_more_requests_than_the_limit(limit: int, calls: int) -> None:
    asking = Asking(ProviderLimits(requests_per_minute=limit))
    moments = asyncio.run(asking.all([1] * calls))
    assert most_in_a_minute([(at, 1) for at in moments]) <= limit
    assert [number for _, number in asking.begun] == list(range(calls))
    assert moments[-1] <= (calls - 1) * 12 * MINUTE // 10 // limit + MINUTE // limit + 1


@settings(max_examples=30, deadline=None)
@given(st.integers(100, 5_000), st.lists(st.integers(1, 600), min_size=1, max_size=40))
def test_no_minute_sees_more_tokens_than_the_limit_and_one_large_call(limit: int, sizes: list[int]) -> None:
    asking = Asking(ProviderLimits(tokens_per_minute=limit), outcome=lambda _: failed("bad_response"))
    moments = asyncio.run(asking.all(sizes))
    over = max(0, max(sizes) - limit // 10)
    assert most_in_a_minute(list(zip(moments, sizes, strict=True))) <= limit + over


async def test_what_a_call_did_not_use_is_for_the_next() -> None:
    dear = Asking(ProviderLimits(tokens_per_minute=10_000), outcome=lambda _: answered(1_000))
    cheap = Asking(ProviderLimits(tokens_per_minute=10_000), outcome=lambda _: answered(10))
    assert (await dear.all([1_000] * 12))[-1] > MINUTE
    assert (await cheap.all([1_000] * 12))[-1] < SECOND


async def test_a_call_that_was_not_counted_costs_nothing() -> None:
    asking = Asking(ProviderLimits(tokens_per_minute=1_000), outcome=lambda _: failed("unauthorized", kept=False))
    assert await asking.all([1_000] * 5) == [0] * 5


async def test_open_calls_are_limited() -> None:
    asking = Asking(ProviderLimits(at_once=3), takes_us=SECOND)
    moments = await asking.all([1] * 10)
    assert asking.most_open == 3
    assert moments == sorted(n // 3 * SECOND for n in range(10))


async def test_other_providers_do_not_wait() -> None:
    asking = Asking(ProviderLimits(at_once=1), takes_us=SECOND)
    asking.pace = Pace({"openai": ProviderLimits(at_once=1), "groq": ProviderLimits()}, asking.clock)
    first = asyncio.create_task(asking.call(0))
    second = asyncio.create_task(asking.call(1))
    other = asyncio.create_task(asking.call(2, model="groq:m"))
    assert not asking.pace.paces("mock:")
    for _ in range(9):
        await asyncio.sleep(0)
    assert [number for _, number in asking.begun] == [0, 2]
    for task in (first, second, other):
        task.cancel()
    await asyncio.wait([first, second, other])


async def test_a_call_that_is_cancelled_gives_its_place_back() -> None:
    asking = Asking(ProviderLimits(at_once=1), takes_us=SECOND)
    tasks = [asyncio.create_task(asking.call(n)) for n in range(3)]
    for _ in range(9):
        await asyncio.sleep(0)
    tasks[1].cancel()  # waits at the gate
    tasks[0].cancel()  # is open
    for _ in range(9):
        await asyncio.sleep(0)
    assert [number for _, number in asking.begun] == [0, 2]
    tasks[2].cancel()
    await asyncio.wait(tasks)


async def test_after_failures_in_a_row_a_provider_rests_longer_and_longer() -> None:
    asking = Asking(ProviderLimits(failures_max=3), takes_us=1, outcome=lambda n: failed() if n < 11 else answered())
    moments: list[int] = []
    for _ in range(12):
        moments += (await asking.all([1]))[-1:]
    pauses = [round((b - a) / SECOND) for a, b in itertools.pairwise(moments)]
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 0]
    assert [(rest.failures, rest.pause_ms) for rest in asking.told[:3]] == [(3, 1_000), (4, 2_000), (5, 4_000)]


async def test_a_resting_provider_gets_one_call_at_a_time() -> None:
    asking = Asking(
        ProviderLimits(failures_max=1), takes_us=SECOND, outcome=lambda n: failed() if n < 3 else answered()
    )
    await asking.all([1])
    asking.most_open = 0
    await asking.all([1] * 6)
    assert asking.most_open == 4  # two probes alone, and all that is left after the answer
    begun = [at for at, _ in asking.begun]
    assert len(set(begun[:3])) == 3
    assert len(set(begun[3:])) == 1


@pytest.mark.parametrize("kind", ["bad_request", "unauthorized", "rate_limited", "bad_response", "context_length"])
async def test_failures_of_requests_are_no_failures_of_the_provider(kind: str) -> None:
    asking = Asking(ProviderLimits(failures_max=1), outcome=lambda _: failed(kind))
    assert await asking.all([1] * 5) == [0] * 5


async def test_what_one_call_is_asked_to_wait_all_wait() -> None:
    asking = Asking(ProviderLimits(), outcome=lambda _: failed("rate_limited", retry_after_ms=7_000))
    await asking.all([1])
    assert (await asking.all([1]))[-1] == 7 * SECOND
    asking.outcome = lambda _: failed("rate_limited", retry_after_ms=9_999_999)
    await asking.all([1])
    assert (await asking.all([1]))[-1] <= asking.begun[-2][0] + MINUTE


class Busy(ModelProvider):
    """Counts the calls that are open at once."""

    def __init__(self) -> None:
        self.open = self.most = 0

    def profile(self, model: str) -> ModelProfile:
        return ModelProfile(name=model, grade="exact")

    async def complete(self, request: Any, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.002)
        self.open -= 1
        return ModelReply(text="done", usage=Usage(input_tokens=1, output_tokens=1))

    async def close(self) -> None: ...


def engine_with(model: ModelProvider, directory: Path, **providers: ProviderLimits) -> PlanExecutionEngine:
    clock = SystemClock()
    return PlanExecutionEngine(
        journal=InMemoryJournal(clock),
        artifacts=InMemoryArtifactStore(),
        models=model,
        tools=Toolbox([]),
        workspace=lambda contents: TreeWorkspace(contents, directory / ".pool"),
        clock=clock,
        max_parallel=8,
        providers=providers,
    )


async def test_all_runs_of_an_engine_share_the_pace(tmp_path: Path) -> None:
    model = Busy()
    engine = engine_with(model, tmp_path, mock=ProviderLimits(at_once=2))
    (tmp_path / "repository").mkdir()
    eight = plan(prompt("each", "Do ${{ item }}", foreach=list(range(8))))
    try:
        states = await asyncio.gather(*(engine.execute(eight, tmp_path / "repository", f"r{n}") for n in range(3)))
    finally:
        await engine.close()
    assert {state.status for state in states} == {"ok"}
    assert model.most == 2


async def test_a_run_that_is_stopped_while_its_calls_wait_stops_at_once(tmp_path: Path) -> None:
    engine = engine_with(Busy(), tmp_path, mock=ProviderLimits(requests_per_minute=1))
    (tmp_path / "repository").mkdir()
    driving = asyncio.create_task(
        engine.execute(plan(prompt("a"), prompt("b"), prompt("c")), tmp_path / "repository", "r")
    )
    await asyncio.sleep(0.2)
    async with asyncio.timeout(5):
        await engine.close()
        state = await driving
    assert state.status == "running"


async def test_a_call_that_waited_is_not_made_when_its_engine_may_start_nothing_any_more() -> None:
    model = Busy()
    clock = ManualClock()
    effects = Effects(
        clock=clock,
        environment={},
        live=EventBus(),
        models=model,
        plans=None,
        pace=Pace({"mock": ProviderLimits()}, clock),
        redactor=NOTHING_SECRET,
        secrets={},
        tools=Toolbox([]),
        workspace=cast("Any", None),
    )
    state = KernelRun(plan(prompt("a")))
    state.start()
    (command,) = state.commands.values()
    assert isinstance(command, CallModel)

    def refuse() -> None:
        raise FencedError("the lease is over")

    with pytest.raises(FencedError):
        await effects.call_model(RunId("r"), command, refuse)
    assert model.most == 0
