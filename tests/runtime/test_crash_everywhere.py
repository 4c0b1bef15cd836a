"""Kill a run at every append and at every effect: what was recorded is never done again, and the end is the same."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from tenuto.core.budget import Limits
from tenuto.core.events.call import ModelReplied
from tenuto.core.state import ExecutionState
from tenuto.testing.mixed import mixed_plan, mixed_simulation
from tenuto.testing.sim import Simulation

SMALL = (2, 1)
LARGE = (8, 6)
BUDGET = Limits(tokens=2_000_000)


def simulation(size: tuple[int, int], **options: Any) -> Simulation:
    return mixed_simulation(plan=msgspec.structs.replace(mixed_plan(*size), budget=BUDGET), **options)


def check(sim: Simulation, ended: ExecutionState, whole: str | None, done: dict[tuple[str, str], int]) -> None:
    assert ended.status == "ok", ended.why
    assert ended.result == whole
    assert {key: sim.effects[key] for key in done} == done, "what was recorded was executed again"
    recorded = sum(
        event.usage.input_tokens + event.usage.output_tokens
        for event in sim.events()
        if isinstance(event, ModelReplied)
    )
    listed = sum(doubtful.amount.tokens for doubtful in ended.doubtful)
    assert ended.spent.tokens == recorded + listed, "the ledger is what was recorded and what is listed in doubt"
    assert recorded <= sim.tokens_outside <= ended.spent.tokens


def recorded_effects(sim: Simulation) -> dict[tuple[str, str], int]:
    answered = sim.answered()
    return {key: times for key, times in sim.effects.items() if key[0] in answered}


def kill_everywhere(size: tuple[int, int], *, after: bool, stride: int = 1) -> int:
    first = simulation(size)
    whole = first.run().result
    kills = 0
    for kind, number in (
        *(("append", n) for n in range(0, first.appends, stride)),
        *(("await", n) for n in range(0, first.awaits, stride)),
    ):
        sim = simulation(size)
        crash = sim.crash_at_append if kind == "append" else sim.crash_at_await
        assert crash(number, after=after), f"{kind} {number} was not reached"
        begun = bool(kind == "await" or number or after)
        done = recorded_effects(sim) if begun else {}
        check(sim, sim.resume(), whole, done)
        kills += 1
    return kills


@pytest.mark.parametrize("after", [False, True])
def test_one_kill_anywhere(*, after: bool) -> None:
    assert kill_everywhere(SMALL, after=after) > 50


@pytest.mark.battery
@pytest.mark.parametrize("after", [False, True])
def test_one_kill_anywhere_in_a_longer_run(*, after: bool) -> None:
    assert kill_everywhere(LARGE, after=after) > 120


@pytest.mark.parametrize("seed", range(12))
def test_kills_of_those_that_resume(seed: int) -> None:
    draw = random.Random(seed)
    whole = simulation(SMALL).run().result
    sim = simulation(SMALL, schedule=seed)
    assert sim.crash_at_append(draw.randint(1, 8), after=draw.random() < 0.5)
    done = recorded_effects(sim)
    for _ in range(4):
        sim.crash_in_resume(draw.randint(0, 3), after=draw.random() < 0.5)
        assert {key: sim.effects[key] for key in done} == done
        done = recorded_effects(sim)
    check(sim, sim.resume(), whole, done)


def test_a_kill_before_the_first_record_leaves_nothing() -> None:
    sim = simulation(SMALL)
    assert sim.crash_at_append(0)
    assert not sim.effects
    assert sim.resume().result == simulation(SMALL).run().result


def test_an_acknowledged_end_is_the_end() -> None:
    sim = simulation(SMALL)
    ended = sim.run()
    assert sim.resume().head == ended.head
