"""EventBus: synchronous, typed publishing inside one process.

For listeners that must see every event at once and in order: projections, the live view, the dispatcher. It knows
nothing of journals: whoever feeds it does so after the records are durable. It belongs to one thread.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, overload

__all__ = ["CASCADE_MAX", "EventBus", "HandlerFailure", "Routes", "Subscription"]

E = TypeVar("E")

CASCADE_MAX = 10_000
"""Events that handlers may emit, in all, while one emit from outside is delivered."""
FAILURES_KEPT = 100
"""The newest failures that a bus remembers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlerFailure:
    """A handler raised. Nobody else was affected."""

    event: object
    handler: Callable[[Any], object]
    error: Exception


class Routed(Protocol):
    """What `Routes` needs to know of a subscriber."""

    @property
    def event_type(self) -> type[Any]: ...


S = TypeVar("S", bound=Routed)


class Routes(Generic[S]):
    """Which subscribers an event's class has: those for the class itself and for its bases, in a fixed order.

    The answer is computed once for a class and kept until the subscribers change; it is an immutable tuple, so a
    delivery that goes through it is not disturbed by changes.
    """

    __slots__ = ("_order", "_subscribers", "cache")

    def __init__(self, order: Callable[[S], int] | None = None) -> None:
        """Subscribers stand by `order` (small first), those that are equal in the order of registration."""
        self._order = order
        self._subscribers: list[S] = []
        self.cache: dict[type[Any], tuple[S, ...]] = {}

    def add(self, subscriber: S) -> None:
        self._subscribers.append(subscriber)
        if self._order is not None:
            self._subscribers.sort(key=self._order)  # stable
        self.cache.clear()

    def remove(self, subscriber: S) -> None:
        self._subscribers = [s for s in self._subscribers if s is not subscriber]
        self.cache.clear()

    def find(self, event_class: type[Any]) -> tuple[S, ...]:
        """The subscribers of events of exactly this class."""
        found = self.cache.get(event_class)
        if found is None:
            found = tuple(s for s in self._subscribers if issubclass(event_class, s.event_type))
            self.cache[event_class] = found
        return found

    @property
    def all(self) -> tuple[S, ...]:
        return tuple(self._subscribers)


class Subscription:
    """A handler's place on a bus; `off` gives it back."""

    __slots__ = ("_bus", "active", "event_type", "handler", "once")

    def __init__(self, bus: EventBus, event_type: type[Any], handler: Callable[[Any], object], once: bool) -> None:
        self._bus = bus
        self.active = True
        self.event_type = event_type
        self.handler = handler
        self.once = once

    def off(self) -> bool:
        """Stop; holds at once, also for events that are being delivered. False when it was off already."""
        return self._bus.off(self)


class EventBus:
    """Calls every handler of an event's class or of one of its bases, in the order of registration, in `emit`.

    - A handler that raises is reported to `on_error`, and kept in `failures`; neither the emitter nor another
      handler sees it. What is no `Exception` (a keyboard interrupt) passes through; what was not yet delivered is
      delivered by the next emit.
    - An emit inside a handler is queued until every handler has seen the event before it: all handlers see all
      events in one order, and a cascade costs no stack.
    - An event goes to those who were subscribed when it was emitted and still are when their turn comes.
    """

    __slots__ = ("_cascade", "_delivering", "_on_error", "_queue", "_routes", "failures")

    def __init__(self, *, on_error: Callable[[HandlerFailure], object] | None = None) -> None:
        self._routes: Routes[Subscription] = Routes()
        self._queue: deque[tuple[object, tuple[Subscription, ...]]] = deque()
        self._delivering = False
        self._cascade = 0
        self._on_error = on_error
        self.failures: deque[HandlerFailure] = deque(maxlen=FAILURES_KEPT)

    def on(self, event_type: type[E], handler: Callable[[E], object]) -> Subscription:
        """Call `handler` for every event that is an `event_type` (`object`: for all). TypeError if it is async."""
        return self._add(event_type, handler, once=False)

    def once(self, event_type: type[E], handler: Callable[[E], object]) -> Subscription:
        """As `on`, for one event only. It counts as used when it is called, whether it raises or not."""
        return self._add(event_type, handler, once=True)

    @overload
    def off(self, subscription: Subscription, /) -> bool: ...
    @overload
    def off(self, event_type: type[E], handler: Callable[[E], object], /) -> bool: ...
    def off(self, what: Subscription | type[Any], handler: Callable[[Any], object] | None = None, /) -> bool:
        """End a subscription, or all that were made with this very type and an equal handler.

        Whether anything ended.
        """
        if isinstance(what, Subscription):
            ending = [what] if what.active else []
        else:
            ending = [s for s in self._routes.all if s.event_type is what and s.handler == handler]
        for subscription in ending:
            subscription.active = False
            self._routes.remove(subscription)
        return bool(ending)

    @property
    def silent(self) -> bool:
        """Whether nobody listens, so that an emitter need not make the event."""
        return not self._routes.all

    def hears(self, event_type: type[Any]) -> bool:
        """Whether somebody would get an event of exactly this class."""
        return bool(self._routes.find(event_type))

    def emit(self, event: object) -> None:
        """Deliver now, or after what is being delivered. Raises nothing for what handlers do.

        RecursionError where handlers emit more than `CASCADE_MAX` events for one from outside: it is raised into
        the handler that goes too far, and so reported as its failure.
        """
        routes = self._routes
        handlers = routes.cache.get(type(event))
        if handlers is None:
            handlers = routes.find(type(event))
        if not handlers:
            return
        if not self._delivering:
            self._queue.append((event, handlers))
            self._deliver()
            return
        self._cascade += 1
        if self._cascade > CASCADE_MAX:
            raise RecursionError(f"handlers emitted more than {CASCADE_MAX} events in answer to one")
        self._queue.append((event, handlers))

    def _add(self, event_type: type[Any], handler: Callable[[Any], object], *, once: bool) -> Subscription:
        if inspect.iscoroutinefunction(handler):
            raise TypeError(f"{handler!r} is async; subscribe it to an AsyncEventDispatcher")
        subscription = Subscription(self, event_type, handler, once)
        self._routes.add(subscription)
        return subscription

    def _deliver(self) -> None:
        self._delivering = True
        self._cascade = 0
        queue = self._queue
        try:
            while queue:
                event, handlers = queue.popleft()
                for position, subscription in enumerate(handlers):
                    if subscription.active:
                        if subscription.once:
                            self.off(subscription)
                        try:
                            self._call(subscription.handler, event)
                        except BaseException:
                            queue.appendleft((event, handlers[position + 1 :]))
                            raise
        finally:
            self._delivering = False

    def _call(self, handler: Callable[[Any], object], event: object) -> None:
        try:
            handler(event)
        except Exception as error:  # noqa: BLE001 - the one place where a handler's error is isolated
            self._report(HandlerFailure(event=event, handler=handler, error=error))

    def _report(self, failure: HandlerFailure) -> None:
        self.failures.append(failure)
        if self._on_error is None:
            return
        try:
            self._on_error(failure)
        except Exception as error:  # noqa: BLE001 - a broken reporter is one more failure, not the emitter's
            self.failures.append(HandlerFailure(event=failure, handler=self._on_error, error=error))
