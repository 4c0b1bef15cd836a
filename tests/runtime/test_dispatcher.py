"""AsyncEventDispatcher: order, priorities, isolation, dead letters, request and reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.runtime.bus import EventBus
from tenuto.runtime.dispatcher import AsyncEventDispatcher, DeadLetter, DeliveryLimits
from tenuto.testing.clock import ManualClock

ONE_TRY = DeliveryLimits(tries=1, deadline_us=1_000)


@dataclass(frozen=True)
class Event:
    number: int = 0


@dataclass(frozen=True)
class Special(Event):
    pass


@dataclass(frozen=True)
class Question:
    text: str = "?"


def noting(seen: list[Any], name: str = "") -> Callable[[Event], Awaitable[None]]:
    async def note(event: Event) -> None:
        seen.append((name, event.number) if name else event.number)

    return note


async def until(happened: Callable[[], object]) -> None:
    """Give the loop control until something holds, and fail when it never does."""
    for _ in range(200):
        if happened():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


async def pass_time(clock: ManualClock, task: asyncio.Future[Any]) -> None:
    """Advance to every due time until the task has ended."""
    while not task.done():
        for _ in range(20):
            await asyncio.sleep(0)
        due = clock.next_due_us()
        if not task.done() and due is not None:
            clock.advance_us(due)


async def test_emit_returns_every_outcome_by_priority_then_registration() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    started: list[str] = []

    def handler(name: str) -> Callable[[object], Awaitable[str]]:
        async def handle(event: object) -> str:
            started.append(name)
            if name == "broken":
                raise ValueError("broken")
            return f"{name} {event}"

        return handle

    dispatcher.on(Event, handler("low"), priority=-1, name="low")
    dispatcher.on(object, handler("first"), name="first")
    dispatcher.on(Event, handler("broken"), name="broken", limits=ONE_TRY)
    dispatcher.on(Special, handler("high"), priority=5, name="high")

    outcomes = await dispatcher.emit(Special(7))

    assert started == ["high", "first", "broken", "low"]
    assert [o.subscriber for o in outcomes] == started
    assert [o.value for o in outcomes if o.ok] == [f"{name} Special(number=7)" for name in ("high", "first", "low")]
    assert [str(o.error) for o in outcomes if not o.ok] == ["broken"]


async def test_an_event_without_handlers_has_no_outcomes() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    assert await dispatcher.emit(Event()) == ()
    assert dispatcher.broadcast(Event()) == 0
    await dispatcher.drain()


async def test_a_slow_subscriber_delays_nobody_else_and_keeps_its_own_order() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    gate = asyncio.Event()
    fast: list[int] = []
    slow: list[int] = []

    async def wait(event: Event) -> None:
        await gate.wait()
        slow.append(event.number)

    dispatcher.on(Event, wait, priority=9)
    dispatcher.on(Event, noting(fast))
    for number in range(5):
        assert dispatcher.broadcast(Event(number)) == 2
    await until(lambda: fast == [0, 1, 2, 3, 4])
    assert slow == []

    gate.set()
    await dispatcher.drain()
    assert slow == [0, 1, 2, 3, 4]


async def test_a_failing_subscriber_is_retried_with_growing_pauses_and_the_events_behind_wait() -> None:
    clock = ManualClock()
    dispatcher = AsyncEventDispatcher(clock)
    began = clock.monotonic_us()
    seen: list[tuple[int, int]] = []

    async def flaky(event: Event) -> int:
        seen.append((event.number, clock.monotonic_us() - began))
        if event.number == 0 and len(seen) < 3:
            raise OSError("not yet")
        return len(seen)

    dispatcher.on(Event, flaky, limits=DeliveryLimits(tries=3, backoff_us=100, deadline_us=1_000_000))
    first = asyncio.ensure_future(dispatcher.emit(Event(0)))
    second = asyncio.ensure_future(dispatcher.emit(Event(1)))
    await pass_time(clock, second)

    assert seen == [(0, 0), (0, 100), (0, 300), (1, 300)]
    assert [(o.value, o.tries) for o in (*first.result(), *second.result())] == [(3, 3), (4, 1)]
    assert not dispatcher.dead_letters


async def test_what_fails_for_good_is_a_dead_letter_and_the_next_event_is_handled() -> None:
    letters: list[DeadLetter] = []
    clock = ManualClock()
    dispatcher = AsyncEventDispatcher(clock, on_dead_letter=letters.append)
    handled: list[int] = []

    async def refuse_zero(event: Event) -> None:
        handled.append(1 // event.number)

    dispatcher.on(Event, refuse_zero, name="divider", limits=DeliveryLimits(tries=2, backoff_us=1))
    dispatcher.broadcast(Event(0))
    dispatcher.broadcast(Event(1))
    await pass_time(clock, asyncio.ensure_future(dispatcher.drain()))

    assert handled == [1]
    assert [(x.subscriber, x.event, x.reason, type(x.error)) for x in letters] == [
        ("divider", Event(0), "failed", ZeroDivisionError)
    ]
    assert list(dispatcher.dead_letters) == letters


async def test_a_hanging_handler_is_cancelled_at_its_deadline() -> None:
    clock = ManualClock()
    dispatcher = AsyncEventDispatcher(clock)
    handled: list[int] = []

    async def hang(event: Event) -> None:
        if event.number == 0:
            await asyncio.Event().wait()
        handled.append(event.number)

    dispatcher.on(Event, hang, limits=ONE_TRY)
    emitted = asyncio.ensure_future(dispatcher.emit(Event(0)))
    await asyncio.sleep(0)
    dispatcher.broadcast(Event(1))
    await pass_time(clock, emitted)
    await dispatcher.drain()

    (outcome,) = emitted.result()
    assert isinstance(outcome.error, TimeoutError)
    assert clock.monotonic_us() == 1_000
    assert handled == [1]
    assert [x.reason for x in dispatcher.dead_letters] == ["failed"]


async def test_a_handler_that_ignores_its_cancellation_ends_its_subscription_alone() -> None:
    clock = ManualClock()
    dispatcher = AsyncEventDispatcher(clock)
    release = asyncio.Event()
    others: list[int] = []

    async def stubborn(event: Event) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    subscriber = dispatcher.on(Event, stubborn, limits=ONE_TRY)
    dispatcher.on(Event, noting(others))
    emitted = asyncio.ensure_future(dispatcher.emit(Event(0)))
    await asyncio.sleep(0)
    dispatcher.broadcast(Event(1))
    await pass_time(clock, emitted)
    dispatcher.broadcast(Event(2))
    await dispatcher.drain()
    stuck = subscriber.task
    release.set()

    assert [o.ok for o in emitted.result()] == [False, True]
    assert not subscriber.active
    assert others == [0, 1, 2]
    assert [(x.reason, x.event) for x in dispatcher.dead_letters] == [("stuck", Event(0)), ("stuck", Event(1))]
    assert stuck is not None
    await stuck


async def test_a_handler_that_cancels_itself_or_exits_oddly_has_failed() -> None:
    class Odd(BaseException):
        pass

    async def cancel(event: Event) -> None:
        raise asyncio.CancelledError

    async def odd(event: Event) -> None:
        raise Odd("odd")

    dispatcher = AsyncEventDispatcher(ManualClock())
    dispatcher.on(Event, cancel, limits=ONE_TRY)
    dispatcher.on(Event, odd, limits=ONE_TRY)

    cancelled, strange = await dispatcher.emit(Event())

    assert isinstance(cancelled.error, TimeoutError)
    assert isinstance(strange.error, RuntimeError)


async def test_a_flood_fills_only_the_queue_of_the_slow_and_what_does_not_fit_is_a_dead_letter() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    gate = asyncio.Event()
    slow: list[int] = []
    fast: list[int] = []

    async def wait(event: Event) -> None:
        await gate.wait()
        slow.append(event.number)

    subscriber = dispatcher.on(Event, wait, name="slow", limits=DeliveryLimits(queue_max=2))
    dispatcher.on(Event, noting(fast))
    dispatcher.broadcast(Event(0))
    await until(lambda: subscriber.pending == 0)
    for number in range(1, 5):
        dispatcher.broadcast(Event(number))
    (outcome, _) = await dispatcher.emit(Event(5))
    gate.set()
    await dispatcher.drain()

    assert isinstance(outcome.error, OverflowError)
    assert slow == [0, 1, 2]
    assert fast == [0, 1, 2, 3, 4, 5]
    assert [(x.reason, x.event) for x in dispatcher.dead_letters] == [("overflow", Event(n)) for n in (3, 4, 5)]


async def test_a_broken_reporter_of_dead_letters_stops_nothing() -> None:
    def report(letter: DeadLetter) -> None:
        raise OSError("no terminal")

    async def fail(event: Event) -> None:
        raise ValueError

    dispatcher = AsyncEventDispatcher(ManualClock(), on_dead_letter=report)
    dispatcher.on(Event, fail, limits=ONE_TRY)
    (outcome,) = await dispatcher.emit(Event())

    assert isinstance(outcome.error, ValueError)
    assert [type(x.error) for x in dispatcher.dead_letters] == [ValueError, OSError]


async def test_once_handles_the_first_event_with_its_retries_and_no_other() -> None:
    clock = ManualClock()
    dispatcher = AsyncEventDispatcher(clock)
    seen: list[int] = []

    async def flaky(event: Event) -> None:
        seen.append(event.number)
        if len(seen) == 1:
            raise OSError

    dispatcher.once(Event, flaky)
    dispatcher.broadcast(Event(1))
    dispatcher.broadcast(Event(2))
    await pass_time(clock, asyncio.ensure_future(dispatcher.drain()))

    assert seen == [1, 1]


async def test_off_drops_what_waits_and_tells_who_waits_for_it() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    gate = asyncio.Event()
    seen: list[int] = []

    async def wait(event: Event) -> None:
        await gate.wait()
        seen.append(event.number)

    subscriber = dispatcher.on(Event, wait)
    running = asyncio.ensure_future(dispatcher.emit(Event(0)))
    queued = asyncio.ensure_future(dispatcher.emit(Event(1)))
    await until(lambda: subscriber.task is not None and subscriber.pending == 1)

    assert dispatcher.off(Event, wait)
    assert not dispatcher.off(subscriber)
    (dropped,) = await queued
    gate.set()
    (handled,) = await running

    assert isinstance(dropped.error, LookupError)
    assert handled.ok
    assert seen == [0]
    assert await dispatcher.emit(Event(2)) == ()
    assert not dispatcher.dead_letters


async def test_it_carries_what_a_bus_carries_in_the_same_order() -> None:
    bus = EventBus()
    dispatcher = AsyncEventDispatcher(ManualClock())
    seen: list[int] = []
    dispatcher.on(Event, noting(seen))
    bus.on(object, dispatcher.broadcast)

    def cascade(event: Event) -> None:
        if event.number == 0:
            bus.emit(Event(1))

    bus.on(Event, cascade)
    bus.emit(Event(0))
    bus.emit(Event(2))
    await dispatcher.drain()

    assert seen == [0, 1, 2]
    assert not bus.failures


async def test_a_cancelled_emitter_does_not_undo_its_event() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    gate = asyncio.Event()
    seen: list[int] = []

    async def wait(event: Event) -> None:
        await gate.wait()
        seen.append(event.number)

    subscriber = dispatcher.on(Event, wait)
    emitted = asyncio.ensure_future(dispatcher.emit(Event(3)))
    await until(lambda: subscriber.task is not None)
    emitted.cancel()
    await until(emitted.done)
    gate.set()
    await dispatcher.drain()

    assert emitted.cancelled()
    assert seen == [3]


async def test_a_request_is_answered_by_one_subscriber() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())

    async def answer(question: Question) -> str:
        return question.text.upper()

    async def never(question: Question) -> str:
        raise AssertionError("not asked")

    dispatcher.on(Question, never, name="other")
    dispatcher.on(Question, answer, name="shouter", priority=1)

    assert await dispatcher.request(Question("why"), str, deadline_us=1_000) == "WHY"
    assert await dispatcher.request(Question("how"), str, deadline_us=1_000, to="shouter") == "HOW"


async def test_a_request_says_what_went_wrong() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())

    async def fail(question: Question) -> str:
        raise PermissionError("not for you")

    with pytest.raises(LookupError, match="nobody takes a Question"):
        await dispatcher.request(Question(), str, deadline_us=1)
    dispatcher.on(Question, fail, name="guard", limits=ONE_TRY)
    with pytest.raises(LookupError, match="nobody named porter"):
        await dispatcher.request(Question(), str, deadline_us=1, to="porter")
    with pytest.raises(PermissionError, match="not for you"):
        await dispatcher.request(Question(), str, deadline_us=1)


async def test_a_reply_of_another_type_is_refused() -> None:
    async def count(question: Question) -> int:
        return len(question.text)

    dispatcher = AsyncEventDispatcher(ManualClock())
    dispatcher.on(Question, count, name="counter")

    with pytest.raises(TypeError, match="counter replied a int, not a str"):
        await dispatcher.request(Question(), str, deadline_us=1_000)


async def test_a_deadline_cancels_the_handling_and_what_still_waits_is_never_begun() -> None:
    clock = ManualClock()
    dispatcher = AsyncEventDispatcher(clock)
    began: list[str] = []
    cancelled: list[str] = []

    async def hang(question: Question) -> str:
        began.append(question.text)
        if question.text == "quick":
            return "done"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(question.text)
            raise
        return "never"

    dispatcher.on(Question, hang)
    first = asyncio.ensure_future(dispatcher.request(Question("first"), str, deadline_us=50))
    second = asyncio.ensure_future(dispatcher.request(Question("second"), str, deadline_us=20))
    await pass_time(clock, first)

    assert clock.monotonic_us() == 50
    assert [type(task.exception()) for task in (first, second)] == [TimeoutError, TimeoutError]
    assert await dispatcher.request(Question("quick"), str, deadline_us=50) == "done"
    assert began == ["first", "quick"]
    assert cancelled == ["first"]
    assert not dispatcher.dead_letters


async def test_a_handler_may_emit_and_ask_others() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())

    async def answer(question: Question) -> str:
        return question.text + "!"

    async def ask(event: Event) -> str:
        reply = await dispatcher.request(Question("go"), str, deadline_us=1_000)
        (outcome,) = await dispatcher.emit(Question(reply))
        return str(outcome.value)

    dispatcher.on(Question, answer)
    dispatcher.on(Event, ask)
    (outcome,) = await dispatcher.emit(Event())

    assert outcome.value == "go!!"


async def test_a_handler_that_would_wait_for_itself_is_told_at_once() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    seen: list[int] = []

    async def again(event: Event) -> Exception | None:
        seen.append(event.number)
        if event.number > 0:
            return None
        outcomes = await dispatcher.emit(Event(1))
        with pytest.raises(RecursionError, match="myself would wait for itself"):
            await dispatcher.request(Event(2), str, deadline_us=1)
        return outcomes[0].error

    dispatcher.on(Event, again, name="myself")
    (outcome,) = await dispatcher.emit(Event(0))
    await dispatcher.drain()

    assert isinstance(outcome.value, RecursionError)
    assert seen == [0, 1]


async def test_two_that_would_wait_for_each_other_are_told() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())

    async def left(event: Event) -> str:
        return await dispatcher.request(Question("from left"), str, deadline_us=1_000)

    async def right(question: Question) -> str:
        outcomes = await dispatcher.emit(Special(1))
        return type(outcomes[0].error).__name__

    dispatcher.on(Event, left, name="left")
    dispatcher.on(Question, right, name="right")
    (outcome,) = await dispatcher.emit(Event(0))
    assert outcome.value == "RecursionError"
    await dispatcher.close()


async def test_close_cancels_what_runs_and_keeps_the_rest_as_dead_letters() -> None:
    dispatcher = AsyncEventDispatcher(ManualClock())
    seen: list[int] = []

    async def hang(event: Event) -> None:
        await asyncio.Event().wait()

    subscriber = dispatcher.on(Event, hang)
    dispatcher.on(Event, noting(seen))
    emitted = asyncio.ensure_future(dispatcher.emit(Event(0)))
    await asyncio.sleep(0)
    dispatcher.broadcast(Event(1))
    await until(lambda: subscriber.task is not None and seen == [0, 1])
    await dispatcher.close()
    await dispatcher.close()

    assert [o.ok for o in await emitted] == [False, True]
    assert sorted((x.event.number, x.reason) for x in dispatcher.dead_letters if isinstance(x.event, Event)) == [
        (0, "closed"),
        (1, "closed"),
    ]
    assert await dispatcher.emit(Event(2)) == ()
    with pytest.raises(RuntimeError, match="closed"):
        dispatcher.on(Event, hang)


@pytest.mark.parametrize("limit", [{"queue_max": 0}, {"tries": 0}, {"deadline_us": 0}, {"backoff_us": -1}])
def test_limits_that_make_no_sense_are_refused(limit: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="too small"):
        DeliveryLimits(**limit)


SUBSCRIBER = st.tuples(
    st.sampled_from([Event, Special, object]),
    st.integers(-2, 2),  # priority
    st.integers(0, 4),  # loop turns each event takes
    st.sets(st.integers(0, 7)),  # events it fails at, for good
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(SUBSCRIBER, max_size=5),
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8),
)
def test_every_subscriber_sees_its_events_in_order_whatever_the_others_do(
    subscribers: list[tuple[type, int, int, set[int]]], events: list[tuple[bool, bool]]
) -> None:
    async def scenario() -> None:
        dispatcher = AsyncEventDispatcher(ManualClock())
        seen: dict[str, list[int]] = {}
        for position, (kind, priority, turns, failing) in enumerate(subscribers):
            name = str(position)
            seen[name] = []

            async def handle(event: Event, name: str = name, turns: int = turns, failing: set[int] = failing) -> int:
                for _ in range(turns):
                    await asyncio.sleep(0)
                seen[name].append(event.number)
                if event.number in failing:
                    raise ValueError(event.number)
                return event.number

            dispatcher.on(kind, handle, priority=priority, name=name, limits=DeliveryLimits(tries=1))
        emitted = []
        for number, (special, waits) in enumerate(events):
            event = Special(number) if special else Event(number)
            if waits:
                emitted.append((event, asyncio.ensure_future(dispatcher.emit(event))))
                await asyncio.sleep(0)
            else:
                dispatcher.broadcast(event)
        await dispatcher.drain()
        await asyncio.sleep(0)

        order = sorted(range(len(subscribers)), key=lambda position: -subscribers[position][1])
        for position, (kind, _, _, failing) in enumerate(subscribers):
            mine = [n for n, (special, _) in enumerate(events) if kind is not Special or special]
            assert seen[str(position)] == mine
            letters = [x.event for x in dispatcher.dead_letters if x.subscriber == str(position)]
            assert [x.number for x in letters if isinstance(x, Event)] == [n for n in mine if n in failing]
        for event, task in emitted:
            got = [(o.subscriber, o.value if o.ok else str(o.error)) for o in await task]
            assert got == [
                (str(p), str(event.number) if event.number in subscribers[p][3] else event.number)
                for p in order
                if isinstance(event, subscribers[p][0])
            ]

    asyncio.run(scenario())
