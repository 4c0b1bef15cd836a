"""An event loop in which no time is waited for: when all tasks wait, the clock moves on to the next sleeper."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from tenuto.testing.clock import ManualClock

__all__ = ["simulated_loop"]

_PATIENCE_S = 5.0
"""How long real work (a thread) may take while nobody sleeps on the clock."""


class _IdleSelector(selectors.BaseSelector):
    """Asked to wait, it moves the clock instead. Waits for real only where nobody sleeps on the clock."""

    def __init__(self, clock: ManualClock) -> None:
        self._inner = selectors.DefaultSelector()
        self._clock = clock

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if ready or timeout == 0:
            return ready
        due = self._clock.next_due_us()
        if due is not None:
            self._clock.advance_us(due)
            return []
        ready = self._inner.select(_PATIENCE_S if timeout is None else min(timeout, _PATIENCE_S))
        if not ready and (timeout is None or timeout > _PATIENCE_S):
            raise RuntimeError("the simulation stands still: every task waits, and nobody sleeps on the clock")
        return ready


def simulated_loop(clock: ManualClock) -> Callable[[], asyncio.AbstractEventLoop]:
    """A loop factory for `asyncio.Runner`. Everything in the loop must take its time from `clock`."""
    return lambda: asyncio.SelectorEventLoop(_IdleSelector(clock))
