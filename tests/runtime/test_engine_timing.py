"""Timing, width and company change no result."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenuto.core.events.call import ModelCallRequested, ToolCallRequested
from tenuto.core.events.run import RunCancelled
from tenuto.core.ids import RunId
from tenuto.core.records import decode
from tenuto.errors import FencedError, RefusedRequestError
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.testing.builders import plan, prompt
from tenuto.testing.mixed import mixed_simulation
from tenuto.testing.sim import Simulation


@pytest.mark.parametrize("max_parallel", [1, 4, 16])
def test_one_result_at_any_width_and_latency(max_parallel: int) -> None:
    expected = mixed_simulation(3, 2).run().result
    for schedule in range(1, 4):
        assert mixed_simulation(3, 2, max_parallel=max_parallel, schedule=schedule).run().result == expected


def test_another_seed_is_another_result() -> None:
    assert mixed_simulation(2, 1).run().result != mixed_simulation(2, 1, seed=1).run().result


def test_three_runs_of_one_engine_at_once() -> None:
    sim = mixed_simulation(2, 1)

    async def three(engine: PlanExecutionEngine) -> list[Any]:
        tree = await sim.repository(engine)
        runs = ("run-file-3", "run-file-4", "run-file-5")
        agents = sim.agents
        return await asyncio.gather(*(engine.execute(sim.plan, tree, r, agents=agents, seed="s") for r in runs))

    states = sim.play(three)
    assert [state.status for state in states] == ["ok"] * 3
    assert len({state.result for state in states}) == 1
    assert [state.run for state in states] == ["run-file-3", "run-file-4", "run-file-5"]


def test_fifty_engines_at_once() -> None:
    sim = Simulation(plan(prompt("a"), prompt("b", needs=["a"]), prompt("c")))

    async def fifty(first: PlanExecutionEngine) -> list[Any]:
        tree = await sim.repository(first)
        engines = [sim.engine() for _ in range(50)]
        states = await asyncio.gather(
            *(engine.execute(sim.plan, tree, f"run{i}", seed="s") for i, engine in enumerate(engines))
        )
        for engine in engines:
            await engine.close()
        return list(states)

    states = sim.play(fifty)
    assert {state.status for state in states} == {"ok"}
    assert len({state.result for state in states}) == 1


def test_only_one_engine_gets_a_run() -> None:
    sim = Simulation(plan(prompt("a")))

    async def both(first: PlanExecutionEngine) -> list[Any]:
        tree = await sim.repository(first)
        second = sim.engine()
        ends = await asyncio.gather(
            first.execute(sim.plan, tree, "r"), second.execute(sim.plan, tree, "r"), return_exceptions=True
        )
        await second.close()
        return list(ends)

    ends = sim.play(both)
    assert sorted(type(end).__name__ for end in ends) == ["ExecutionState", "RefusedRequestError"]


def test_a_driven_run_cannot_be_resumed_by_its_own_engine() -> None:
    sim = Simulation(plan(prompt("a"), prompt("b", needs=["a"])))

    async def twice(engine: PlanExecutionEngine) -> Any:
        tree = await sim.repository(engine)
        driving = asyncio.create_task(engine.execute(sim.plan, tree, "r"))
        await sim.clock.sleep(700)
        with pytest.raises(RefusedRequestError, match="driven"):
            await engine.resume("r")
        return await driving

    assert sim.play(twice).status == "ok"


def test_a_late_waker_is_refused_at_the_append() -> None:
    sim = Simulation(plan(prompt("a"), prompt("b", needs=["a"])), latency_us=(50_000, 50_000))

    async def late(first: PlanExecutionEngine) -> Any:
        tree = await sim.repository(first)
        sleeping = asyncio.create_task(first.execute(sim.plan, tree, "r"))
        await sim.clock.sleep(10_000)
        sim.journal.expire(sim.journal.sessions[0])
        second = sim.engine()
        state = await second.resume("r")
        await second.close()
        with pytest.raises(FencedError):
            await sleeping
        return state

    state = sim.play(late)
    assert state.status == "ok"
    records = sim.records("r")
    assert [record.seq for record in records] == list(range(len(records)))
    assert sum(times for (call, _), times in sim.effects.items() if call == "a/1/0") == 2
    assert [(d.call, d.try_number) for d in state.doubtful] == [("a/1/0", 1)]


def test_no_call_starts_after_a_cancellation() -> None:
    step = prompt("each", "Do ${{ item }}", foreach=list(range(64)))
    sim = Simulation(plan(step, prompt("more", needs=["each"])), max_parallel=32)

    async def cancelled(engine: PlanExecutionEngine) -> Any:
        tree = await sim.repository(engine)
        driving = asyncio.create_task(engine.execute(sim.plan, tree, "r"))
        await sim.clock.sleep(30_000)
        await engine.cancel("r", reason="enough")
        return await driving

    state = sim.play(cancelled)
    assert state.status == "cancelled"
    events = [decode(record.body).event for record in sim.records("r")]
    at = next(i for i, event in enumerate(events) if isinstance(event, RunCancelled))
    started = (ModelCallRequested, ToolCallRequested)
    assert sum(isinstance(event, started) for event in events[:at]) > 32
    assert not [event for event in events[at:] if isinstance(event, started)]
    assert sum(sim.effects.values()) == sum(isinstance(event, started) for event in events[:at])


def test_a_stopped_run_can_be_resumed() -> None:
    sim = Simulation(plan(prompt("a"), prompt("b", needs=["a"])), latency_us=(9_000, 9_000), run_id="r")

    async def stopped(engine: PlanExecutionEngine) -> Any:
        tree = await sim.repository(engine)
        driving = asyncio.create_task(engine.execute(sim.plan, tree, "r"))
        await sim.clock.sleep(5_000)
        engine.stop()
        return await driving

    assert sim.play(stopped).status == "running"
    assert sim.resume().status == "ok"


def test_closing_an_engine_lets_its_commits_end() -> None:
    sim = Simulation(plan(prompt("a"), prompt("b", needs=["a"])), latency_us=(100, 100), commit_us=5_000, run_id="r")

    async def closed(engine: PlanExecutionEngine) -> Any:
        other = sim.engine()
        driving = asyncio.create_task(other.execute(sim.plan, await sim.repository(engine), "r"))
        await sim.clock.sleep(7_000)
        await other.close()
        return await driving

    assert sim.play(closed).status == "running"
    assert sim.resume().status == "ok"


def test_a_run_that_ended_is_not_resumed() -> None:
    sim = Simulation(plan(prompt("a")))
    sim.run()
    with pytest.raises(RefusedRequestError, match="has ended"):
        sim.play(lambda engine: engine.resume(RunId("sim")))
