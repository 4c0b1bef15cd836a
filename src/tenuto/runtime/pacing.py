"""How fast each provider of models is asked: pure delay before a call, shared by all runs of an engine.

Nothing is decided here. A call that waits has its intent and its hold already, and the order of outcomes is recorded
as ever, so pacing needs no record and replay knows nothing of it. The call's deadline counts from its dispatch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tenuto.core.events.call import ModelCallFailed, ModelReplied
from tenuto.ports.clock import Clock

__all__ = ["Pace", "ProviderLimits", "ProviderRests", "Turn"]

_MINUTE_US = 60_000_000
_REST_US = 1_000_000
_REST_US_MAX = 60_000_000
_TROUBLES = frozenset({"refused_connection", "server", "timeout", "cut_stream"})
"""Failures that say something of the provider, and not of the request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderLimits:
    """What one provider is asked at most. None: no limit.

    `at_once` counts open calls. In no minute do more than `requests_per_minute` calls begin, nor calls of more than
    `tokens_per_minute`, input and output together: a call counts with its hold until its usage is known, and one that
    is larger than a tenth of the limit waits for that tenth. After `failures_max` failures in a row the provider
    rests: one call at a time, after 1 s, then 2 s, up to 60 s, until one is answered.
    """

    at_once: int | None = None
    failures_max: int | None = 5
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class ProviderRests:
    """A provider failed too often in a row: it is asked again, one call at a time, after a pause. Not recorded."""

    provider: str
    failures: int
    pause_ms: int


class Turn:
    """One call that may be made now."""

    def __init__(self) -> None:
        self.outcome: ModelReplied | ModelCallFailed | None = None
        """To be set when it is known; a turn that ends without one was cancelled."""


class Pace:
    """The pace of an engine, by provider. Belongs to one event loop. First come, first served, for each provider.

    `tell` hears of each provider that has to rest.
    """

    def __init__(
        self,
        limits: Mapping[str, ProviderLimits],
        clock: Clock,
        tell: Callable[[ProviderRests], object] = lambda _: None,
    ) -> None:
        self._providers = {name: _Provider(name, limit, clock, tell) for name, limit in limits.items()}

    def paces(self, model: str) -> bool:
        """Whether a limit holds for the provider of `model`."""
        return model.partition(":")[0] in self._providers

    @asynccontextmanager
    async def turn(self, model: str, tokens: int) -> AsyncIterator[Turn]:
        """Wait until `model`, which has a limit, may be asked; the call holds `tokens` and is open in the block."""
        provider = self._providers[model.partition(":")[0]]
        turn = Turn()
        await provider.enter(tokens)
        try:
            yield turn
        finally:
            provider.leave(tokens, turn.outcome)


class _Bucket:
    """Fills by the minute. A tenth of the limit may go at once; no minute sees more than the limit."""

    def __init__(self, per_minute: int, now_us: int) -> None:
        self._capacity = max(1, per_minute // 10)
        self._rate = per_minute - self._capacity + 1
        self._level = self._capacity * _MINUTE_US
        self._at_us = now_us

    def wait_us(self, amount: int, now_us: int) -> int:
        """How long until `amount` may go; what is larger than the bucket goes when that is full."""
        self._add((now_us - self._at_us) * self._rate)
        self._at_us = now_us
        missing = min(amount, self._capacity) * _MINUTE_US - self._level
        return max(0, -(-missing // self._rate))

    def take(self, amount: int) -> None:
        self._level -= amount * _MINUTE_US

    def give_back(self, amount: int) -> None:
        self._add(amount * _MINUTE_US)

    def _add(self, level: int) -> None:
        self._level = min(self._capacity * _MINUTE_US, self._level + level)


class _Provider:
    """One provider: who is asking it, and when it may be asked again."""

    def __init__(
        self, name: str, limits: ProviderLimits, clock: Clock, tell: Callable[[ProviderRests], object]
    ) -> None:
        self._name = name
        self._tell = tell
        self._limits = limits
        self._clock = clock
        now = clock.monotonic_us()
        self._requests = None if limits.requests_per_minute is None else _Bucket(limits.requests_per_minute, now)
        self._tokens = None if limits.tokens_per_minute is None else _Bucket(limits.tokens_per_minute, now)
        self._gate = asyncio.Lock()
        self._left = asyncio.Event()
        self._open = 0
        self._failures = 0
        self._not_before_us = now

    async def enter(self, tokens: int) -> None:
        """Wait at the gate, and behind it for a place and for the right moment."""
        async with self._gate:
            while True:
                if self._full:
                    self._left.clear()
                    await self._left.wait()
                    continue
                wait = self._wait_us(tokens)
                if wait == 0:
                    break
                await self._clock.sleep(wait)
            for bucket, amount in self._charges(tokens):
                bucket.take(amount)
            self._open += 1

    def leave(self, tokens: int, outcome: ModelReplied | ModelCallFailed | None) -> None:
        """The call has ended; what it did not use may be used by others."""
        self._open -= 1
        self._left.set()
        if isinstance(outcome, ModelReplied):
            used = outcome.usage.input_tokens + outcome.usage.output_tokens
            self._failures = 0
        elif outcome is not None:
            used = tokens if outcome.kept else 0
            self._count(outcome)
        else:
            used = tokens
        if self._tokens is not None and used < tokens:
            self._tokens.give_back(tokens - used)

    def _count(self, outcome: ModelCallFailed) -> None:
        now = self._clock.monotonic_us()
        if outcome.retry_after_ms is not None:
            self._rest_until(now + min(outcome.retry_after_ms * 1_000, _REST_US_MAX))
        if outcome.error.kind not in _TROUBLES:
            self._failures = 0
            return
        self._failures += 1
        if self._resting:
            over = self._failures - (self._limits.failures_max or 0)
            pause = min(_REST_US << min(over, 16), _REST_US_MAX)
            self._rest_until(now + pause)
            self._tell(ProviderRests(self._name, self._failures, pause // 1_000))

    def _rest_until(self, moment_us: int) -> None:
        self._not_before_us = max(self._not_before_us, moment_us)

    @property
    def _resting(self) -> bool:
        return self._limits.failures_max is not None and self._failures >= self._limits.failures_max

    @property
    def _full(self) -> bool:
        limit = 1 if self._resting else self._limits.at_once
        return limit is not None and self._open >= limit

    def _wait_us(self, tokens: int) -> int:
        now = self._clock.monotonic_us()
        waits = [bucket.wait_us(amount, now) for bucket, amount in self._charges(tokens)]
        return max([self._not_before_us - now, 0, *waits])

    def _charges(self, tokens: int) -> list[tuple[_Bucket, int]]:
        charges = ((self._requests, 1), (self._tokens, tokens))
        return [(bucket, amount) for bucket, amount in charges if bucket is not None]
