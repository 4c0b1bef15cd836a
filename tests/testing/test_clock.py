"""Manual time, and the machine's."""

from __future__ import annotations

import asyncio

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.testing.clock import ManualClock


async def test_sleepers_wake_in_order_of_time_then_of_falling_asleep() -> None:
    clock = ManualClock()
    woken: list[str] = []

    async def sleeper(name: str, duration_us: int) -> None:
        await clock.sleep(duration_us)
        woken.append(name)

    naps = {"late": 30, "early": 10, "also early": 10, "at once": 0, "never": 1_000}
    tasks = [asyncio.create_task(sleeper(name, nap)) for name, nap in naps.items()]
    await asyncio.sleep(0)
    assert clock.next_due_us() == 10
    clock.advance_us(9)
    await asyncio.sleep(0)
    assert woken == ["at once"]
    clock.advance_us(21)
    await asyncio.sleep(0)
    assert woken == ["at once", "early", "also early", "late"]
    assert clock.next_due_us() == 970
    tasks[-1].cancel()
    await asyncio.sleep(0)
    assert clock.next_due_us() is None


async def test_a_cancelled_sleeper_does_not_disturb_the_others() -> None:
    clock = ManualClock()
    naps = [asyncio.create_task(clock.sleep(5)) for _ in range(3)]
    await asyncio.sleep(0)
    naps[0].cancel()
    await asyncio.sleep(0)
    clock.advance_us(5)
    await asyncio.gather(*naps[1:])
    assert naps[0].cancelled()


def test_wall_and_monotonic_time_move_together_until_the_wall_is_set() -> None:
    clock = ManualClock(start_us=1_000)
    clock.advance_us(5)
    assert (clock.now_us(), clock.monotonic_us()) == (1_005, 5)
    clock.set_wall_us(10)
    clock.advance_us(1)
    assert (clock.now_us(), clock.monotonic_us()) == (11, 6)
    with pytest.raises(ValueError, match="back"):
        clock.advance_us(-1)


async def test_the_system_clock_never_wakes_early() -> None:
    clock = SystemClock()
    before_us = clock.monotonic_us()
    await clock.sleep(1_500)
    assert clock.monotonic_us() - before_us >= 1_500
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.now_us() > 1_700_000_000_000_000
