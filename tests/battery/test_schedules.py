"""A thousand orders in which outcomes may come, over twenty random plans: one result of each plan."""

from __future__ import annotations

import random

import pytest

from tenuto.core.events.run import RunExhausted
from tenuto.testing.kernel import KernelRun
from tenuto.testing.nested_plans import nested_plan, nested_run, nested_world
from tenuto.testing.world import AGENTS, FUNCTIONS, TOOLS, World, play, random_plan

SCHEDULES = 50


def driven(seed: int, order: int) -> KernelRun:
    """One run: the plan and all outcomes (failures included) by its seed, their order and the width by `order`."""
    schedule = random.Random(f"schedule {seed} {order}")
    width = schedule.choice([1, 2, 3, 4, 8, 16, 32, 64])
    if seed % 2:
        run = nested_run(nested_plan(seed), max_parallel=width, checked=False)
        play(run, nested_world(seed), schedule)
    else:
        run = KernelRun(
            random_plan(seed), agents=AGENTS, tools=TOOLS, functions=FUNCTIONS, max_parallel=width, checked=False
        )
        play(run, World(seed), schedule)
    return run


def outcome(run: KernelRun) -> tuple[object, ...]:
    if run.state.status == "exhausted":
        return "exhausted", *(parked.call for parked in run.last(RunExhausted).parked)
    assert run.state.ended
    return run.state.status, run.state.result


@pytest.mark.parametrize("seed", range(7_000, 7_020))
@pytest.mark.parametrize("schedules", [3, pytest.param(SCHEDULES, marks=pytest.mark.battery)])
def test_every_order_comes_to_one_result(seed: int, schedules: int) -> None:
    runs = [driven(seed, order) for order in range(schedules)]
    assert len({outcome(run) for run in runs}) == 1


def test_the_orders_are_orders() -> None:
    """The schedules differ in what they record, or the digests would say nothing."""
    heads = {driven(7_000, order).state.head for order in range(8)}
    assert len(heads) > 4
