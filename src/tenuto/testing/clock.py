"""A clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq

from tenuto.ports.clock import Clock

__all__ = ["ManualClock"]

START_US = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""


class ManualClock(Clock):
    """Time stands still until `advance_us`. For one event loop.

    Wall and monotonic time move together; `set_wall_us` moves the wall alone, as an operator or NTP would.
    """

    def __init__(self, start_us: int = START_US) -> None:
        self._wall_us = start_us
        self._monotonic_us = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_us(self) -> int:
        return self._wall_us

    def monotonic_us(self) -> int:
        return self._monotonic_us

    async def sleep(self, duration_us: int) -> None:
        """Wait for `advance_us` to pass the due time; a duration of 0 or less only yields to the loop once."""
        if duration_us <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._monotonic_us + duration_us, self._count, woken))
        await woken

    def advance_us(self, duration_us: int) -> None:
        """Let time pass and wake the sleepers that are due: by due time, then in the order they fell asleep.

        Woken tasks run when the loop gets control; they then see the time after the whole step. To stop at every
        due time, advance to `next_due_us()` and give the loop control in between. ValueError for a step back.
        """
        if duration_us < 0:
            raise ValueError("time does not go back")
        self._monotonic_us += duration_us
        self._wall_us += duration_us
        while self._sleepers and self._sleepers[0][0] <= self._monotonic_us:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)

    def set_wall_us(self, now_us: int) -> None:
        """Set the wall clock, forwards or back; monotonic time and sleepers do not notice."""
        self._wall_us = now_us

    def next_due_us(self) -> int | None:
        """Microseconds until the next sleeper is due; None where nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] - self._monotonic_us if self._sleepers else None
