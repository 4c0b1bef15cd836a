"""Running a synchronous function beside the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(function: Callable[[], T], *, name: str) -> T:
    """Run `function` in a daemon thread of its own and return or raise what it does.

    Not `asyncio.to_thread`: its few shared threads would be used up by functions that hang, and the interpreter
    waits for them when it ends. A cancelled caller leaves at once; the thread goes on until the function returns.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Outcome[T]] = loop.create_future()
    context = contextvars.copy_context()

    def report(outcome: Outcome[T]) -> None:
        if not done.done():
            done.set_result(outcome)

    def work() -> None:
        outcome = Outcome[T]()
        try:
            outcome.value.append(context.run(function))
        except BaseException as error:  # noqa: BLE001 - carried over to the caller, whatever it is
            outcome.error = error
        # A loop that was closed meanwhile has nobody who waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(report, outcome)

    threading.Thread(target=work, name=name, daemon=True).start()
    outcome = await done
    if outcome.error is not None:
        raise outcome.error
    return outcome.value[0]


class Outcome(Generic[T]):
    """What a function did: one value, or the exception it raised (a future cannot carry all of them)."""

    def __init__(self) -> None:
        self.value: list[T] = []
        self.error: BaseException | None = None
