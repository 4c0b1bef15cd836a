"""Driving Python step programs: feed an outcome, run until all lanes wait again, report what was asked.

The host owns no event loop and no clock: a coroutine is resumed by `send`, so the same outcomes in the same order
give the same requests. A program that is run again (resume, replay) is fed its recorded outcomes; what it asks then
must be what the journal says.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

from msgspec.structs import replace

from tenuto.core.canonical import clean
from tenuto.core.content import Content
from tenuto.core.events.program import Ask, OpenLanes, StepAdvanced
from tenuto.core.events.step import Failure
from tenuto.core.ids import StepPath
from tenuto.core.state import Fed
from tenuto.ports.programs import Guard, Program
from tenuto.runtime.context import AskError, Context, Lane, Lanes, Waiting

__all__ = ["TEST_GUARD", "RunningProgram"]

_ASKS_MAX = 10_000
"""Requests of one advance: more means that a program asks without ever waiting."""


TEST_GUARD: ContextVar[Guard | None] = ContextVar("TEST_GUARD", default=None)
"""Watches the programs that begin while it is set, whatever their runs say: for tests."""


class _Fiber:
    """One coroutine: the program itself or a lane of a gather."""

    __slots__ = ("coroutine", "error", "gather", "index", "lane", "parent", "value")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], lane: Lane, parent: _Fiber | None, index: int) -> None:
        self.coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self.lane = lane
        self.parent = parent
        self.index = index
        self.gather: _Gather | None = None
        self.value: Any = None
        self.error: BaseException | None = None


class _Gather:
    __slots__ = ("fibers", "open", "ordinal")

    def __init__(self, ordinal: str, fibers: list[_Fiber]) -> None:
        self.ordinal = ordinal
        self.fibers = fibers
        self.open = len(fibers)


class RunningProgram:
    """One attempt of a program. Not thread-safe; every method runs the user's code to its next waits and returns."""

    def __init__(
        self,
        program: Program,
        *,
        path: StepPath,
        attempt: int,
        inputs: Any,
        seed: str,
        at_us: int,
        guarded: bool = False,
    ) -> None:
        self._path = path
        self._attempt = attempt
        self._program = program
        self._guard = TEST_GUARD.get() or (program.guard if guarded else None)
        root = Lane("", at_us)
        self._lanes = Lanes(root)
        self._context = Context(run_seed=seed, step=path, attempt=attempt, lanes=self._lanes, deps=program.deps)
        self._inputs = inputs
        self._waiting: dict[str, _Fiber] = {}
        self._asks: list[Ask] = []
        self._closed: list[str] = []
        self._at = ""
        self._root: _Fiber | None = None
        self.told = 0
        """How many outcomes it was fed."""

    def start(self) -> StepAdvanced:
        """Run to the first waits."""
        try:
            coroutine = self._program.function(self._context, self._inputs)
        except Exception as error:  # noqa: BLE001  # user code: its errors are values
            return self._raised(error)
        if not inspect.iscoroutine(coroutine):
            return self._raised(TypeError("a step program is an `async def f(ctx, inputs)`"))
        self._root = _Fiber(coroutine, self._lanes.current, None, 0)
        self._resume(self._root, None, None)
        return self._advance()

    def feed(self, fed: Fed) -> StepAdvanced:
        """Tell one outcome; run to the next waits. An advance that asks nothing and does not end is empty."""
        self.told += 1
        fiber = self._waiting.pop(fed.ordinal, None)
        if fiber is None:
            return self._advance()
        fiber.lane.at_us = fed.at
        if fed.failure is not None:
            self._resume(fiber, None, AskError(fed.failure))
        else:
            self._resume(fiber, None if fed.value is None else fed.value.value, None)
        return self._advance()

    def close(self) -> None:
        """Drop the program: its coroutines are closed without being resumed."""
        for fiber in [*self._waiting.values(), self._root]:
            if fiber is not None and fiber.coroutine is not None:
                _close(fiber.coroutine)
                fiber.coroutine = None

    def _advance(self) -> StepAdvanced:
        asks, closed, at = tuple(self._asks), tuple(self._closed), self._at
        self._asks, self._closed, self._at = [], [], ""
        advance = StepAdvanced(asks=asks, at=at, attempt=self._attempt, closed=closed, path=self._path)
        root = self._root
        if root is None or root.coroutine is not None:
            return advance
        if root.error is not None:
            return replace(self._raised(root.error), closed=closed)
        try:
            return replace(advance, returned=Content.of(clean(root.value)))
        except ValueError as error:
            return replace(self._raised(TypeError(f"the program returned no JSON value: {error}")), closed=closed)

    def _raised(self, error: BaseException) -> StepAdvanced:
        kind = error.kind if isinstance(error, AskError) else "program"
        text = str(error) if isinstance(error, AskError) else f"{type(error).__name__}: {error}"
        failure = Failure(kind=kind, message=clean(text)[:2_000] or type(error).__name__)
        return StepAdvanced(attempt=self._attempt, at=self._at, path=self._path, raised=failure)

    def _resume(self, fiber: _Fiber, value: Any, error: BaseException | None) -> None:
        """Run one fiber until it waits or ends; then what its end unblocks."""
        while True:
            outcome = self._step(fiber, value, error)
            if isinstance(outcome, Waiting):
                error = self._wait(fiber, outcome)
                value = None
                if error is None and fiber.gather is not None and fiber.gather.open == 0:
                    value, error = self._gathered(fiber, fiber.gather)
                    continue
                if error is None:
                    return
                continue
            parent = fiber.parent
            if parent is None or parent.gather is None:
                return
            parent.gather.open -= 1
            if parent.gather.open:
                return
            fiber = parent
            value, error = self._gathered(fiber, parent.gather)

    def _gathered(self, fiber: _Fiber, gather: _Gather) -> tuple[Any, BaseException | None]:
        self._closed.append(gather.ordinal)
        fiber.gather = None
        if gather.fibers:
            fiber.lane.at_us = max(fiber.lane.at_us, *(f.lane.at_us for f in gather.fibers))
        failed = next((f.error for f in gather.fibers if f.error is not None), None)
        return [f.value for f in gather.fibers], failed

    def _step(self, fiber: _Fiber, value: Any, error: BaseException | None) -> Waiting | None:
        """One `send`. None = the fiber ended; what it gave is in it."""
        coroutine = fiber.coroutine
        if coroutine is None:
            return None
        self._lanes.current = fiber.lane
        guard = self._guard
        if guard is not None:
            guard.enter()
        yielded = None
        try:
            yielded = coroutine.throw(error) if error is not None else coroutine.send(value)
        except StopIteration as stop:
            fiber.coroutine, fiber.value = None, stop.value
        except (Exception, SystemExit) as raised:  # noqa: BLE001  # user code: its errors are values
            fiber.coroutine, fiber.error = None, raised
        finally:
            reached = "" if guard is None else guard.leave()
        if reached:
            _close(coroutine)
            fiber.coroutine, fiber.error = None, RuntimeError(reached)
        if fiber.coroutine is None:
            return None
        if isinstance(yielded, Waiting):
            self._at = self._at or _place(coroutine)
            return yielded
        place = _place(coroutine)
        _close(coroutine)
        fiber.coroutine = None
        fiber.error = TypeError(
            f"a step program awaited {type(yielded).__name__}, which is not of ctx; use ctx.sleep, ctx.gather, "
            f"ctx.tool or ctx.model instead ({place})"
        )
        return None

    def _wait(self, fiber: _Fiber, waiting: Waiting) -> BaseException | None:
        if len(self._asks) >= _ASKS_MAX:
            return RuntimeError(f"a program asked {_ASKS_MAX} things at once")
        ordinal = fiber.lane.next()
        self._asks.append(replace(waiting.ask, ordinal=ordinal))
        if not isinstance(waiting.ask, OpenLanes):
            self._waiting[ordinal] = fiber
            return None
        fibers = [
            _Fiber(lane, Lane(f"{ordinal}.{i}", fiber.lane.at_us), fiber, i) for i, lane in enumerate(waiting.lanes)
        ]
        fiber.gather = gather = _Gather(ordinal, fibers)
        gather.open += 1  # held open until every lane has begun, so that a lane that ends at once ends nothing else
        for lane in fibers:
            self._resume(lane, None, None)
        gather.open -= 1
        return None


def _close(coroutine: Coroutine[Any, Any, Any]) -> None:
    """End a coroutine where it stands. What its `finally` blocks do then, even awaiting, is nobody's outcome."""
    with contextlib.suppress(Exception, SystemExit):
        coroutine.close()


def _place(coroutine: Any) -> str:
    """`file:line` of the await the user's code stands on: the innermost frame that is not of this package."""
    place = ""
    while coroutine is not None and hasattr(coroutine, "cr_frame"):
        frame = coroutine.cr_frame
        if frame is not None and not frame.f_code.co_filename.endswith(("runtime/context.py", "runtime/programs.py")):
            place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
    return place
