"""Forks in an engine: what they may spend, races for it, and kills around every commit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tenuto.core.budget import Amount, Limits
from tenuto.core.events.run import RunForked
from tenuto.core.ids import RunId
from tenuto.core.plan import Plan
from tenuto.core.records import decode
from tenuto.core.state import ExecutionState
from tenuto.errors import UsageError
from tenuto.runtime.contents import Contents
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.forking import Origin
from tenuto.runtime.loading import load_state
from tenuto.runtime.replay import replay
from tenuto.testing.builders import plan, prompt
from tenuto.testing.sim import Simulation

LIMIT = 6_000


def chain(middle: str = "Go on", tokens: int | None = LIMIT) -> Plan:
    return plan(
        prompt("a", max_tokens=100),
        prompt("b", middle + " from ${{ steps.a.output }}", needs=["a"], max_tokens=100),
        prompt("c", "End ${{ steps.b.output }}", needs=["b"], max_tokens=100),
        tokens=tokens,
    )


def account(sim: Simulation) -> Mapping[str, int]:
    async def read(engine: PlanExecutionEngine) -> Any:
        return dict(await sim.journal.account(RunId("sim")))

    found: Mapping[str, int] = sim.play(read)
    return found


def fork(
    sim: Simulation, name: str, middle: str = "Go well", *, tokens: int | None = LIMIT, **origin: Any
) -> ExecutionState:
    state: ExecutionState = sim.play(forking(sim, name, middle, tokens=tokens, **origin))
    return state


def forking(sim: Simulation, name: str, middle: str = "Go well", *, tokens: int | None = LIMIT, **origin: Any) -> Any:
    async def work(engine: PlanExecutionEngine) -> ExecutionState:
        tree = await sim.repository(engine)
        started = Origin(run=RunId(origin.pop("parent", "sim")), **origin)
        return await engine.execute(chain(middle, tokens), tree, name, origin=started)

    return work


def first_record(sim: Simulation, run: str) -> RunForked:
    event = decode(sim.records(run)[0].body).event
    assert isinstance(event, RunForked)
    return event


def test_a_fork_spends_what_its_root_left_and_gives_back_the_rest() -> None:
    sim = Simulation(chain())
    root = sim.run()
    left = LIMIT - root.spent.tokens
    assert account(sim) == {"tokens": left}
    child = fork(sim, "f")
    assert child.status == "ok"
    assert first_record(sim, "f").granted == Amount(tokens=left)
    assert account(sim) == {"tokens": left - child.spent.tokens}
    assert child.spent.tokens < root.spent.tokens, "a was reused"
    grandchild = fork(sim, "g", "Go best", parent="f")
    assert (grandchild.parent, grandchild.root) == ("f", "sim")
    assert account(sim) == {"tokens": left - child.spent.tokens - grandchild.spent.tokens}


def test_a_fork_without_a_change_spends_nothing_and_gives_all_back_at_once() -> None:
    sim = Simulation(chain())
    root = sim.run()
    same = fork(sim, "f", "Go on")
    assert (same.result, same.spent.tokens) == (root.result, 0)
    assert account(sim) == {"tokens": LIMIT - root.spent.tokens}


@pytest.mark.parametrize("declared", [300, None])
def test_the_plan_of_a_fork_may_ask_for_less_and_not_for_more(declared: int | None) -> None:
    sim = Simulation(chain())
    root = sim.run()
    child = fork(sim, "f", tokens=declared)
    free = LIMIT - root.spent.tokens
    assert first_record(sim, "f").budget == Limits(tokens=min(free, declared or free))
    assert child.status == ("exhausted" if declared else "ok")


def test_more_is_added_knowingly() -> None:
    sim = Simulation(chain(tokens=500))
    root = sim.run()
    assert root.status in ("ok", "exhausted")
    poor = fork(sim, "f", tokens=500)
    assert poor.status == "exhausted", "its root has not given anything back"
    rich = fork(sim, "g", tokens=500, add_budget=Amount(tokens=LIMIT))
    assert rich.status == "ok"
    assert rich.spent.tokens <= LIMIT + 500


def test_forks_that_race_for_the_rest_never_have_it_twice() -> None:
    sim = Simulation(chain())
    root = sim.run()
    free = LIMIT - root.spent.tokens

    async def race(engine: PlanExecutionEngine) -> list[ExecutionState]:
        works = [forking(sim, f"f{i}", f"Go {i}") for i in range(5)]
        states: list[ExecutionState] = await asyncio.gather(*(work(engine) for work in works))
        return states

    states: list[ExecutionState] = sim.play(race)
    granted = [first_record(sim, f"f{i}").granted.tokens for i in range(5)]
    assert max(granted) <= free
    outstanding = sum(amount for amount, state in zip(granted, states, strict=True) if not state.ended)
    spent = sum(state.spent.tokens for state in states if state.ended)
    assert account(sim)["tokens"] + outstanding + spent == free
    assert root.spent.tokens + sum(state.spent.tokens for state in states) <= LIMIT


def test_the_grant_is_taken_and_given_once_wherever_the_engine_is_killed() -> None:
    number = 0
    died = True
    while died:
        for after in (False, True):
            sim = Simulation(chain(), latency_us=(1_000, 2_000))
            root = sim.run()
            free = LIMIT - root.spent.tokens
            died = sim.crash_at_append(sim.appends + number, after=after, work=forking(sim, "f"))
            state = _finished(sim)
            assert state.status == "ok"
            assert account(sim) == {"tokens": free - state.spent.tokens}, f"append {number}, after {after}"
        number += 1
    assert number > 3


def _finished(sim: Simulation) -> ExecutionState:
    """The fork at its end, resumed where it was killed, begun again where nothing of it was recorded."""

    async def go_on(engine: PlanExecutionEngine) -> ExecutionState:
        known = [entry.run for entry in await sim.journal.runs()]
        if "f" not in known:
            state: ExecutionState = await forking(sim, "f")(engine)
            return state
        state = await load_state(sim.journal, engine.contents, RunId("f"))
        return state if state.ended else await engine.resume("f")

    found: ExecutionState = sim.play(go_on)
    return found


def test_a_fork_replays_and_goes_on_without_its_parent() -> None:
    sim = Simulation(chain())
    sim.run()
    fork(sim, "f")

    async def delete_and_replay(engine: PlanExecutionEngine) -> Any:
        session = await sim.journal.open_session("deleter")
        fence, _ = await sim.journal.claim(RunId("sim"), session)
        await sim.journal.delete(fence)
        await session.close()
        return await replay(sim.journal, Contents(sim.journal, sim.artifacts), RunId("f"))

    assert sim.play(delete_and_replay).identical
    assert fork(sim, "g", parent="f").spent.tokens == 0
    with pytest.raises(UsageError):
        fork(sim, "h", parent="sim")


def test_the_seed_is_inherited() -> None:
    sim = Simulation(chain())
    root = sim.run()
    assert fork(sim, "f").seed == root.seed
