"""Assertions over runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenuto.app.bundles import export_run
from tenuto.core.ids import RunId
from tenuto.core.plan import Plan
from tenuto.errors import DamagedStoreError
from tenuto.runtime.contents import Contents
from tenuto.testing import Simulation, assert_replays, assert_under_budget, crash_at
from tenuto.testing.builders import plan, program, prompt
from tenuto.testing.mixed import mixed_simulation


def team() -> Plan:
    return plan(prompt("a"), prompt("b", "Again ${{ steps.a.output }}", needs=["a"]), tokens=10_000)


def bundle(simulation: Simulation, path: Path) -> Path:
    contents = Contents(simulation.journal, simulation.artifacts)
    asyncio.run(export_run(simulation.journal, contents, RunId(simulation.run_id), path))
    return path


def test_a_simulation_and_its_bundle_replay(tmp_path: Path) -> None:
    run = Simulation(team())
    run.run()
    assert_replays(run)
    assert_replays(bundle(run, tmp_path / "sim.tenuto"))


async def test_a_bundle_replays_within_a_loop_too(tmp_path: Path) -> None:
    run = Simulation(team())
    await asyncio.to_thread(run.run)
    path = await asyncio.to_thread(bundle, run, tmp_path / "sim.tenuto")
    assert_replays(path)


def test_what_cannot_be_checked_does_not_pass(tmp_path: Path) -> None:
    run = mixed_simulation()
    run.run()
    assert_replays(run)
    with pytest.raises(AssertionError, match="not checked: survey"):
        assert_replays(bundle(run, tmp_path / "sim.tenuto"))


def test_a_program_that_asks_something_else_does_not_pass() -> None:
    asked = ["one"]

    async def ask(ctx: object, inputs: object) -> object:
        return await ctx.model(asked[0])  # type: ignore[attr-defined]

    run = Simulation(plan(program("ask")), functions={"ask": ask})
    run.run()
    assert_replays(run)
    asked[0] = "two"
    with pytest.raises(AssertionError, match="asks something else") as caught:
        assert_replays(run)
    assert '"one"' in str(caught.value)
    assert '"two"' in str(caught.value)


def test_a_damaged_bundle_is_told_apart(tmp_path: Path) -> None:
    run = Simulation(team())
    run.run()
    path = bundle(run, tmp_path / "sim.tenuto")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedStoreError, match="cut off"):
        assert_replays(path)


def test_budgets_name_who_spent(tmp_path: Path) -> None:
    run = Simulation(team())
    state = run.run()
    spent = state.spent.tokens
    path = bundle(run, tmp_path / "sim.tenuto")
    for given in (run, state, path, str(path)):
        assert_under_budget(given, tokens=spent, model_calls=2, usd="0.00")
        with pytest.raises(AssertionError, match=rf"spent {spent:,} tokens, more than {spent - 1:,} \((a|b) "):
            assert_under_budget(given, tokens=spent - 1)
    with pytest.raises(TypeError, match="no token;"):
        assert_under_budget(state, token=5)


def test_a_run_that_is_killed_anywhere_comes_to_the_same() -> None:
    whole = Simulation(team(), seed=3)
    wanted = whole.run().result
    for number in range(1, whole.appends):
        assert crash_at(Simulation(team(), seed=3), append=number).result == wanted
    for number in range(whole.awaits):
        killed = Simulation(team(), seed=3)
        assert crash_at(killed, effect=number, after=True).result == wanted
        assert_replays(killed)
    with pytest.raises(AssertionError, match="ended before append 99"):
        crash_at(Simulation(team(), seed=3), append=99)
    with pytest.raises(TypeError, match="append= or effect="):
        crash_at(Simulation(team()))
