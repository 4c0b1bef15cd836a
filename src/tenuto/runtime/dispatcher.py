"""AsyncEventDispatcher: asynchronous delivery to many subscribers that cannot hurt each other.

Feed it from an `EventBus` (`bus.on(object, dispatcher.broadcast)`), and it carries what the bus carries, in the same
order for every subscriber. It keeps nothing over restarts: a subscriber that must not miss an event reads the
journal from a cursor; see `docs/architecture.md`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from tenuto.ports.clock import Clock
from tenuto.runtime.bus import Routes
from tenuto.runtime.delivery import DeadLetter, DeliveryLimits, Outcome, Subscriber

__all__ = ["AsyncEventDispatcher", "DeadLetter", "DeliveryLimits", "Outcome", "Subscriber"]

E = TypeVar("E")
R = TypeVar("R")

DEAD_LETTERS_KEPT = 1_000
"""The newest dead letters that a dispatcher remembers; `on_dead_letter` sees all of them."""


class AsyncEventDispatcher:
    """Queues events for async handlers by class, as `EventBus` does, each handler with a bounded queue of its own.

    - Order: a subscriber handles one event at a time, in the order of the calls of `emit`, `broadcast` and
      `request`. Where one event meets several idle subscribers, they start by priority (higher first), then by
      registration.
    - Isolation: nobody waits for a slow subscriber but who asked for its outcome. A failing one is retried, then
      its event becomes a dead letter; so does what does not fit into its queue.
    - All methods belong to the thread of one running event loop.
    """

    def __init__(self, clock: Clock, *, on_dead_letter: Callable[[DeadLetter], object] | None = None) -> None:
        self._clock = clock
        self._on_dead_letter = on_dead_letter
        self._routes: Routes[Subscriber] = Routes(lambda subscriber: -subscriber.priority)
        self._busy: dict[Subscriber, None] = {}
        self._registered = 0
        self._closed = False
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_KEPT)

    def on(
        self,
        event_type: type[E],
        handler: Callable[[E], Awaitable[object]],
        *,
        priority: int = 0,
        name: str = "",
        limits: DeliveryLimits | None = None,
    ) -> Subscriber:
        """Call `handler` for every event that is an `event_type`. `name` stands in outcomes and dead letters."""
        return self._add(event_type, handler, priority, name, limits, once=False)

    def once(
        self,
        event_type: type[E],
        handler: Callable[[E], Awaitable[object]],
        *,
        priority: int = 0,
        name: str = "",
        limits: DeliveryLimits | None = None,
    ) -> Subscriber:
        """As `on`, for the first event only (which may be retried)."""
        return self._add(event_type, handler, priority, name, limits, once=True)

    @overload
    def off(self, subscriber: Subscriber, /) -> bool: ...
    @overload
    def off(self, event_type: type[E], handler: Callable[[E], Awaitable[object]], /) -> bool: ...
    def off(self, what: Subscriber | type[Any], handler: Callable[[Any], Awaitable[object]] | None = None, /) -> bool:
        """End a subscription, or all that were made with this very type and an equal handler.

        What it handles now goes on; what waits in its queue is dropped, and who waits for that gets a LookupError
        as outcome. Whether anything ended.
        """
        if isinstance(what, Subscriber):
            ending = [what] if what.active else []
        else:
            ending = [s for s in self._routes.all if s.event_type is what and s.handler == handler]
        for subscriber in ending:
            self._end(subscriber)
            subscriber.drop(None)
        return bool(ending)

    async def emit(self, event: object) -> tuple[Outcome, ...]:
        """Deliver, and wait for every handler: their outcomes by priority, then registration.

        Raises nothing of what handlers do. When the emitter is cancelled, delivery goes on. A handler may emit:
        where it would wait for itself (directly, or over others), that outcome is a RecursionError at once; the
        event is queued there all the same.
        """
        asking = self._asking()
        waits: list[Outcome | asyncio.Future[Outcome]] = []
        targets: list[Subscriber] = []
        for subscriber in self._targets(event):
            if asking is not None and subscriber.reaches(asking):
                subscriber.put(event)
                waits.append(Outcome(subscriber=subscriber.name, error=_would_wait(asking, subscriber), tries=0))
            else:
                waits.append(subscriber.put_and_wait(event))
                targets.append(subscriber)
        futures = [wait for wait in waits if not isinstance(wait, Outcome)]
        if futures:
            with _waiting(asking, targets):
                await asyncio.wait(futures)
        return tuple(wait if isinstance(wait, Outcome) else wait.result() for wait in waits)

    def broadcast(self, event: object) -> int:
        """Queue for every handler and return at once: for how many. Fit to be a handler of an `EventBus`."""
        subscribers = self._targets(event)
        for subscriber in subscribers:
            subscriber.put(event)
        return len(subscribers)

    async def request(self, message: object, reply: type[R], *, deadline_us: int, to: str | None = None) -> R:
        """Ask one subscriber (the first by priority; with `to`, of that name) and return what its handler returns.

        LookupError: nobody takes such a message. TimeoutError: no reply within `deadline_us`, time in the queue
        included; the handling is cancelled. TypeError: the reply is no `reply`. RecursionError: the asker would
        wait for itself. What the handler raises for good is raised here.
        """
        found = [s for s in self._routes.find(type(message)) if to is None or s.name == to]
        if not found:
            raise LookupError(f"nobody{'' if to is None else f' named {to}'} takes a {type(message).__name__}")
        subscriber = found[0]
        asking = self._asking()
        if asking is not None and subscriber.reaches(asking):
            raise _would_wait(asking, subscriber)
        self._claim(subscriber)
        outcome = await self._reply(subscriber, message, asking, deadline_us)
        if outcome.error is not None:
            raise outcome.error
        if not isinstance(outcome.value, reply):
            raise TypeError(f"{subscriber.name} replied a {type(outcome.value).__name__}, not a {reply.__name__}")
        return outcome.value

    async def drain(self) -> None:
        """Wait until every queue is empty and nothing is being handled."""
        while workers := [s.worker for s in self._busy if s.worker is not None]:
            await asyncio.wait(workers)

    async def close(self) -> None:
        """Stop: what is being handled is cancelled, what waits becomes dead letters. `drain` first to lose nothing.

        Idempotent. Later events reach nobody.
        """
        self._closed = True
        for subscriber in self._routes.all:
            self._end(subscriber)
        for subscriber in list(self._busy):
            subscriber.drop("closed")
            await subscriber.stop()

    def _add(
        self,
        event_type: type[Any],
        handler: Callable[[Any], Awaitable[object]],
        priority: int,
        name: str,
        limits: DeliveryLimits | None,
        *,
        once: bool,
    ) -> Subscriber:
        if self._closed:
            raise RuntimeError("the dispatcher is closed")
        self._registered += 1
        subscriber = Subscriber(
            event_type,
            handler,
            name=name or f"{getattr(handler, '__name__', 'handler')}-{self._registered}",
            priority=priority,
            once=once,
            limits=limits or DeliveryLimits(),
            clock=self._clock,
            on_dead_letter=self._bury,
            on_stuck=self._end,
            on_idle=lambda idle: self._busy.pop(idle, None) if idle.worker is None else None,
        )
        self._routes.add(subscriber)
        return subscriber

    def _targets(self, event: object) -> tuple[Subscriber, ...]:
        """Who gets this event; each is about to be put into."""
        subscribers = self._routes.find(type(event))
        for subscriber in subscribers:
            self._claim(subscriber)
        return subscribers

    def _claim(self, subscriber: Subscriber) -> None:
        self._busy[subscriber] = None
        if subscriber.once:
            self._end(subscriber)

    def _end(self, subscriber: Subscriber) -> None:
        subscriber.active = False
        self._routes.remove(subscriber)

    def _asking(self) -> Subscriber | None:
        """The subscriber whose handler is running this very task."""
        task = asyncio.current_task()
        return next((s for s in self._busy if s.task is task), None)

    async def _reply(
        self, subscriber: Subscriber, message: object, asking: Subscriber | None, deadline_us: int
    ) -> Outcome:
        future = subscriber.put_and_wait(message)
        timer = asyncio.ensure_future(self._clock.sleep(deadline_us))
        first: set[asyncio.Future[Any]] = {future, timer}
        try:
            with _waiting(asking, [subscriber]):
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise TimeoutError(f"{subscriber.name} did not reply within {deadline_us} us")
            return future.result()
        finally:
            timer.cancel()
            future.cancel()

    def _bury(self, letter: DeadLetter) -> None:
        self.dead_letters.append(letter)
        if self._on_dead_letter is None:
            return
        try:
            self._on_dead_letter(letter)
        except Exception as error:  # noqa: BLE001 - a broken reporter must not stop the deliveries behind this one
            self.dead_letters.append(
                DeadLetter(subscriber="on_dead_letter", event=letter, reason="failed", error=error)
            )


@contextmanager
def _waiting(asking: Subscriber | None, targets: Sequence[Subscriber]) -> Generator[None, None, None]:
    """Note while it lasts that the handler of `asking` waits for `targets`."""
    if asking is None:
        yield
        return
    asking.waits_for.extend(targets)
    try:
        yield
    finally:
        for target in targets:
            asking.waits_for.remove(target)


def _would_wait(asking: Subscriber, subscriber: Subscriber) -> RecursionError:
    return RecursionError(f"{asking.name} would wait for itself through {subscriber.name}")
