"""The machine's own clocks."""

from __future__ import annotations

import asyncio
import time

from tenuto.ports.clock import Clock

__all__ = ["SystemClock"]


class SystemClock(Clock):
    """Wall time may jump when the machine's clock is set; monotonic time does not."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1_000

    async def sleep(self, duration_us: int) -> None:
        due_us = self.monotonic_us() + duration_us
        left_us = duration_us
        # An event loop may wake a little early (its timer resolution), so the clock has the last word.
        while left_us > 0:
            await asyncio.sleep(left_us / 1_000_000)
            left_us = due_us - self.monotonic_us()
