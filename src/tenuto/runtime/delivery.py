"""One asynchronous subscriber: its queue, its worker, its retries, its dead letters.

A subscriber handles one event at a time, in the order in which they were put. Whatever it does (raise, hang, flood)
ends here. The worker lives only while there is something to do.

Every delivery ends in `_settle`, in order: the one place where a durable subscriber would move its cursor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from tenuto.ports.clock import Clock

__all__ = ["DeadLetter", "DeadLetterReason", "DeliveryLimits", "Outcome", "Subscriber"]

DeadLetterReason = Literal["failed", "overflow", "stuck", "closed"]
"""`failed`: every try raised or ran out of time. `overflow`: its queue was full. `stuck`: the handler did not end
when it was cancelled. `closed`: the dispatcher closed first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryLimits:
    """What one subscriber may use. `deadline_us` holds for each try; a try that ignores its cancellation for as long
    again ends the subscriber. `backoff_us` doubles with every try."""

    queue_max: int = 1_000
    tries: int = 3
    backoff_us: int = 100_000
    deadline_us: int = 30_000_000

    def __post_init__(self) -> None:
        if min(self.queue_max, self.tries, self.deadline_us) < 1 or self.backoff_us < 0:
            raise ValueError(f"a limit of a subscriber is too small: {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of an event at one subscriber: a `value`, or an `error` (TimeoutError: its time ran out)."""

    subscriber: str
    value: Any = None
    error: Exception | None = None
    tries: int = 1

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """An event that a subscriber did not handle, kept so that it can be seen and handled by hand."""

    subscriber: str
    event: object
    reason: DeadLetterReason
    error: Exception


class _Delivery:
    """One event in one queue. `waiting` is set where somebody waits for the outcome."""

    __slots__ = ("event", "waiting")

    def __init__(self, event: object, waiting: asyncio.Future[Outcome] | None) -> None:
        self.event = event
        self.waiting = waiting

    @property
    def abandoned(self) -> bool:
        """Whoever asked has gone (a request whose deadline passed)."""
        return self.waiting is not None and self.waiting.cancelled()


class Subscriber:
    """A handler with a queue of its own. Made and fed by the dispatcher; belongs to one event loop."""

    def __init__(
        self,
        event_type: type[Any],
        handler: Callable[[Any], Awaitable[object]],
        *,
        name: str,
        priority: int,
        once: bool,
        limits: DeliveryLimits,
        clock: Clock,
        on_dead_letter: Callable[[DeadLetter], object],
        on_stuck: Callable[[Subscriber], object],
        on_idle: Callable[[Subscriber], object],
    ) -> None:
        self.event_type = event_type
        self.handler = handler
        self.name = name
        self.priority = priority
        self.once = once
        self.limits = limits
        self.active = True
        self.waits_for: list[Subscriber] = []
        self.task: asyncio.Task[object] | None = None
        self._clock = clock
        self._on_dead_letter = on_dead_letter
        self._on_stuck = on_stuck
        self._on_idle = on_idle
        self._queue: deque[_Delivery] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Events that wait, the one being handled not counted."""
        return len(self._queue)

    @property
    def worker(self) -> asyncio.Task[None] | None:
        """The task that works the queue off; None while there is nothing to do."""
        return None if self._worker is None or self._worker.done() else self._worker

    def put(self, event: object) -> None:
        """Queue an event; never waits. A full queue makes it a dead letter."""
        self._put(_Delivery(event, None))

    def put_and_wait(self, event: object) -> asyncio.Future[Outcome]:
        """As `put`; the future gets the outcome, never an exception. Cancelling it gives up the delivery."""
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._put(_Delivery(event, waiting))
        return waiting

    def reaches(self, other: Subscriber) -> bool:
        """Whether this one is, or waits over however many others for, `other`: then `other` must not wait for it."""
        seen: set[int] = set()
        ahead: list[Subscriber] = [self]
        while ahead:
            subscriber = ahead.pop()
            if subscriber is other:
                return True
            if id(subscriber) not in seen:
                seen.add(id(subscriber))
                ahead.extend(subscriber.waits_for)
        return False

    def drop(self, reason: DeadLetterReason | None) -> None:
        """Empty the queue: into dead letters, or, without a reason (it was turned off), only telling who waits."""
        while self._queue:
            delivery = self._queue.popleft()
            error = LookupError(f"{self.name} ended before it handled this")
            if reason is None:
                self._settle(delivery, Outcome(subscriber=self.name, error=error, tries=0))
            else:
                self._bury(delivery, reason, error, tries=0)

    async def stop(self) -> None:
        """Cancel what is being handled and wait for its end, each at most one more deadline."""
        for task in (self.worker, self.task):
            if task is not None:
                task.cancel()
                await self._wait(task)

    def _put(self, delivery: _Delivery) -> None:
        waiting = len(self._queue)
        if waiting >= self.limits.queue_max:
            self._bury(delivery, "overflow", OverflowError(f"{self.name} has {waiting} events waiting"), tries=0)
            return
        self._queue.append(delivery)
        if self.worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"subscriber {self.name}")
            self._worker.add_done_callback(lambda _: self._on_idle(self))

    async def _work(self) -> None:
        while self._queue:
            delivery = self._queue.popleft()
            if delivery.abandoned:
                continue
            try:
                await self._handle(delivery)
            except asyncio.CancelledError:
                error = LookupError(f"{self.name} was stopped while it handled this")
                self._bury(delivery, "closed", error, tries=1)
                raise

    async def _handle(self, delivery: _Delivery) -> None:
        error: Exception = TimeoutError()
        for number in range(1, self.limits.tries + 1):
            if number > 1:
                await self._clock.sleep(self.limits.backoff_us << (number - 2))
            task = await self._try_once(delivery)
            if not task.done():
                self._give_up(delivery, number)
                return
            if delivery.abandoned:
                return
            failure = self._failure(task)
            if failure is None:
                self._settle(delivery, Outcome(subscriber=self.name, value=task.result(), tries=number))
                return
            error = failure
        self._bury(delivery, "failed", error, tries=self.limits.tries)

    async def _try_once(self, delivery: _Delivery) -> asyncio.Task[object]:
        """Run the handler in a task until it ends, its time is up or nobody waits for it; cancelled then."""

        async def call() -> object:
            return await self.handler(delivery.event)

        task: asyncio.Task[object] = asyncio.create_task(call(), name=f"handler of {self.name}")
        self.task = task
        try:
            await self._wait(task, delivery.waiting)
            if not task.done():
                task.cancel()
                await self._wait(task)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            self.task = None
        return task

    async def _wait(self, task: asyncio.Task[Any], or_until: asyncio.Future[Any] | None = None) -> None:
        """Until the task has ended, `or_until` is done, or one deadline has passed."""
        timer = asyncio.ensure_future(self._clock.sleep(self.limits.deadline_us))
        try:
            awaited: set[asyncio.Future[Any]] = {task, timer} if or_until is None else {task, timer, or_until}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    def _failure(self, task: asyncio.Task[object]) -> Exception | None:
        """Why an ended task failed; None when it did not."""
        if task.cancelled():
            return TimeoutError(f"{self.name} was cancelled; a try has {self.limits.deadline_us} us")
        error = task.exception()
        if error is None or isinstance(error, Exception):
            return error
        return RuntimeError(f"{self.name} raised {error!r}, which is no Exception")

    def _give_up(self, delivery: _Delivery, number: int) -> None:
        """The handler lives on although it was cancelled: no other event may overtake it, so this is the end."""
        error = TimeoutError(f"{self.name} did not end when it was cancelled")
        self._on_stuck(self)
        self._bury(delivery, "stuck", error, tries=number)
        self.drop("stuck")

    def _bury(self, delivery: _Delivery, reason: DeadLetterReason, error: Exception, *, tries: int) -> None:
        self._on_dead_letter(DeadLetter(subscriber=self.name, event=delivery.event, reason=reason, error=error))
        self._settle(delivery, Outcome(subscriber=self.name, error=error, tries=tries))

    def _settle(self, delivery: _Delivery, outcome: Outcome) -> None:
        if delivery.waiting is not None and not delivery.waiting.done():
            delivery.waiting.set_result(outcome)
