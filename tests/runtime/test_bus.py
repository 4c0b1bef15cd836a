"""EventBus: order, matching, isolation, re-entrance."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.runtime.bus import CASCADE_MAX, FAILURES_KEPT, EventBus, HandlerFailure, Subscription


class Happened:
    pass


@dataclass(frozen=True)
class StepEnded(Happened):
    step: str = "a"


@dataclass(frozen=True)
class StepFailed(StepEnded):
    error: str = "no"


def noting(seen: list[Any], name: object) -> Callable[[object], None]:
    """A handler that notes its name and the event."""
    return lambda event: seen.append((name, event))


def test_handlers_are_called_at_once_in_the_order_of_registration() -> None:
    bus = EventBus()
    seen: list[Any] = []
    for name in "cab":
        bus.on(StepEnded, noting(seen, name))

    bus.emit(StepEnded("x"))

    assert seen == [("c", StepEnded("x")), ("a", StepEnded("x")), ("b", StepEnded("x"))]


def test_a_handler_of_a_base_class_or_of_object_gets_subclasses_in_one_common_order() -> None:
    bus = EventBus()
    seen: list[Any] = []
    bus.on(object, lambda event: seen.append("object"))
    bus.on(StepFailed, lambda event: seen.append("failed"))
    bus.on(Happened, lambda event: seen.append("happened"))

    bus.emit(StepFailed())
    assert seen == ["object", "failed", "happened"]

    seen.clear()
    bus.emit(StepEnded())
    assert seen == ["object", "happened"]


def test_abstract_classes_match_what_is_registered_with_them() -> None:
    class Costly(abc.ABC):  # noqa: B024 - a marker class is what is tested
        pass

    Costly.register(StepEnded)
    bus = EventBus()
    seen: list[Any] = []
    bus.on(Costly, seen.append)

    bus.emit(StepFailed())

    assert seen == [StepFailed()]


def test_a_subscription_made_after_the_first_event_of_a_class_gets_the_next_one() -> None:
    bus = EventBus()
    seen: list[Any] = []
    bus.emit(StepEnded("early"))
    bus.on(Happened, seen.append)
    bus.emit(StepEnded("late"))

    assert seen == [StepEnded("late")]


def test_once_gets_one_event_even_when_its_handler_emits_or_raises() -> None:
    bus = EventBus()
    seen: list[Any] = []

    def again(event: StepEnded) -> None:
        seen.append(event.step)
        bus.emit(StepEnded("again"))
        raise RuntimeError("used up all the same")

    subscription = bus.once(StepEnded, again)
    bus.emit(StepEnded("first"))
    bus.emit(StepEnded("second"))

    assert seen == ["first"]
    assert not subscription.active
    assert not subscription.off()


def test_off_takes_a_handle_or_a_type_with_its_handler_and_says_whether_anything_ended() -> None:
    bus = EventBus()
    seen: list[Any] = []
    handle = bus.on(StepEnded, seen.append)
    bus.on(StepEnded, seen.append)
    bus.on(Happened, seen.append)

    assert handle.off()
    assert not bus.off(handle)
    bus.emit(StepEnded())
    assert len(seen) == 2

    assert bus.off(StepEnded, seen.append)
    assert not bus.off(StepEnded, seen.append)
    bus.emit(StepEnded())
    assert len(seen) == 3


def test_a_failing_handler_is_reported_and_nobody_else_notices() -> None:
    reported: list[HandlerFailure] = []
    bus = EventBus(on_error=reported.append)
    seen: list[Any] = []

    def fail(event: StepEnded) -> None:
        raise ValueError(event.step)

    bus.on(StepEnded, fail)
    bus.on(StepEnded, seen.append)
    bus.emit(StepEnded("x"))

    assert seen == [StepEnded("x")]
    assert [(f.event, f.handler, str(f.error)) for f in reported] == [(StepEnded("x"), fail, "x")]
    assert list(bus.failures) == reported


def test_a_failing_reporter_is_one_more_failure() -> None:
    def report(failure: HandlerFailure) -> None:
        raise OSError("the terminal has gone")

    bus = EventBus(on_error=report)
    bus.on(StepEnded, lambda event: 1 / 0)
    bus.emit(StepEnded())

    assert [type(f.error) for f in bus.failures] == [ZeroDivisionError, OSError]
    assert bus.failures[1].event is bus.failures[0]


def test_failures_are_kept_within_a_limit() -> None:
    bus = EventBus()
    bus.on(StepEnded, lambda event: int(event.step))
    for number in range(FAILURES_KEPT + 5):
        bus.emit(StepEnded(f"not {number}"))

    assert len(bus.failures) == FAILURES_KEPT
    assert bus.failures[-1].event == StepEnded(f"not {FAILURES_KEPT + 4}")


def test_an_emit_inside_a_handler_waits_until_all_have_seen_the_event_before() -> None:
    bus = EventBus()
    seen: list[Any] = []

    def first(event: StepEnded) -> None:
        seen.append(("first", event.step))
        if event.step == "a":
            bus.emit(StepEnded("b"))
            bus.emit(StepEnded("c"))

    bus.on(StepEnded, first)
    bus.on(StepEnded, lambda event: seen.append(("second", event.step)))
    bus.emit(StepEnded("a"))

    assert seen == [(who, step) for step in "abc" for who in ("first", "second")]


def test_an_event_goes_to_those_subscribed_when_it_was_emitted_and_still_so_at_their_turn() -> None:
    bus = EventBus()
    seen: list[Any] = []

    def change(event: StepEnded) -> None:
        if event.step == "a":
            bus.emit(StepEnded("b"))
            bus.on(StepEnded, lambda event: seen.append(("new", event.step)))
            leaving.off()

    bus.on(StepEnded, change)
    leaving = bus.on(StepEnded, lambda event: seen.append(("leaving", event.step)))
    bus.emit(StepEnded("a"))
    assert seen == []

    bus.emit(StepEnded("c"))
    assert seen == [("new", "c")]


def test_handlers_that_emit_for_ever_are_stopped_and_reported() -> None:
    bus, count = EventBus(), 0

    def again(event: StepEnded) -> None:
        nonlocal count
        count += 1
        bus.emit(event)

    bus.on(StepEnded, again)
    bus.emit(StepEnded())

    assert count == CASCADE_MAX + 1
    assert [type(f.error) for f in bus.failures] == [RecursionError]
    bus.off(StepEnded, again)
    bus.emit(StepEnded())
    assert count == CASCADE_MAX + 1


def test_an_interrupt_passes_through_and_what_was_not_delivered_comes_with_the_next_emit() -> None:
    bus = EventBus()
    seen: list[Any] = []

    def interrupt(event: StepEnded) -> None:
        if event.step == "a":
            bus.emit(StepEnded("b"))
            raise KeyboardInterrupt

    bus.on(StepEnded, interrupt)
    bus.on(StepEnded, lambda event: seen.append(event.step))
    with pytest.raises(KeyboardInterrupt):
        bus.emit(StepEnded("a"))
    assert seen == []

    bus.emit(StepEnded("c"))
    assert seen == ["a", "b", "c"]


def test_an_async_handler_is_refused_with_a_hint() -> None:
    async def handler(event: StepEnded) -> None:
        raise AssertionError("never called")

    with pytest.raises(TypeError, match="AsyncEventDispatcher"):
        EventBus().on(StepEnded, handler)


CLASSES: list[type] = [object, Happened, StepEnded, StepFailed]
OPERATION = st.one_of(
    st.tuples(st.just("on"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("off"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("emit"), st.integers(1, 3), st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(OPERATION, max_size=25))
def test_delivery_equals_a_plain_list_of_subscribers(operations: list[tuple[str, int, bool]]) -> None:
    bus = EventBus()
    seen: list[tuple[int, object]] = []
    expected: list[tuple[int, object]] = []
    handles: list[Subscription] = []
    model: list[tuple[int, type, bool]] = []
    for what, number, flag in operations:
        if what == "on":
            name = len(handles)
            add = bus.once if flag else bus.on
            handles.append(add(CLASSES[number], noting(seen, name)))
            model.append((name, CLASSES[number], flag))
        elif what == "off" and number < len(handles):
            assert handles[number].off() == any(entry[0] == number for entry in model)
            model = [entry for entry in model if entry[0] != number]
        elif what == "emit":
            event = CLASSES[number]()
            bus.emit(event)
            matching = [entry for entry in model if isinstance(event, entry[1])]
            expected += [(name, event) for name, _, _ in matching]
            model = [entry for entry in model if entry not in matching or not entry[2]]
    assert seen == expected
