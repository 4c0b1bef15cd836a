"""Time as a port. All times are integers in microseconds."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    def now_us(self) -> int:
        """UTC wall time since 1970-01-01, in microseconds."""
        ...

    def monotonic_us(self) -> int:
        """A clock that never goes back, in microseconds; its zero means nothing."""
        ...

    async def sleep(self, duration_us: int) -> None:
        """Return after at least `duration_us` of monotonic time. Cancellable."""
        ...
