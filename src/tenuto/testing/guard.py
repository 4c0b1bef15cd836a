"""Finding, in a test, all that step programs reach without `ctx`: clocks and chance too, which no run can see.

    with guarded():
        state = Simulation(plan(program("p")), functions={"p": mine}).run()

A profile hook is set while a program's own code runs, so a test pays for it there and nowhere else.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from tenuto.adapters.guard.auditing import place_of
from tenuto.adapters.guard.reaches import CHANCE, CLOCK, ENVIRONMENT, FILES, PROCESS, TASKS, WAIT, Reach, reach_of
from tenuto.ports.programs import Guard
from tenuto.runtime.programs import TEST_GUARD

__all__ = ["guarded"]

_ENVIRONMENT_CODES = frozenset(
    getattr(type(os.environ), name).__code__ for name in ("__getitem__", "__setitem__", "__delitem__", "__iter__")
)
_POSIX: dict[str, Reach] = {
    **dict.fromkeys(("stat", "lstat", "listdir", "scandir", "open", "access", "readlink", "mkdir", "unlink"), FILES),
    **dict.fromkeys(("getpid", "getppid", "getcwd", "uname", "cpu_count", "getuid", "getlogin"), ENVIRONMENT),
    **dict.fromkeys(("system", "fork", "posix_spawn", "execve", "kill"), PROCESS),
    **dict.fromkeys(("urandom", "getrandom"), CHANCE),
}
_UNSEEDED: frozenset[str] = frozenset(("getrandbits", "random", "seed", "setstate"))
_shared: Any = random.random.__self__  # type: ignore[attr-defined]  # the generator that everybody shares


@contextmanager
def guarded() -> Iterator[list[str]]:
    """Watch the programs that begin inside; AssertionError at the end with a line for each place that reaches out.

    The list that it gives fills as they are found; empty it to go on without the error. The programs run on, so that
    all places are found. A line with the comment `# tenuto: allow` is let through, as imports and logging are.
    """
    guard = _ProfileGuard()
    token = TEST_GUARD.set(guard)
    try:
        yield guard.found
    finally:
        TEST_GUARD.reset(token)
    if guard.found:
        raise AssertionError("step programs reach the world without ctx:\n" + "\n".join(guard.found))


class _ProfileGuard(Guard):
    """Collects; a program is never told."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._outer: CodeType | None = None
        self._before: Any = None
        self._collects = False

    def enter(self) -> None:
        """See `Guard.enter`."""
        self._outer = sys._getframe(1).f_code
        self._before = sys.getprofile()
        # A collection may call what others have registered for it, such as a test library's clock.
        self._collects = gc.isenabled()
        gc.disable()
        sys.setprofile(self._hear)

    def leave(self) -> str:
        """See `Guard.leave`. Always empty: the test is told at its end."""
        sys.setprofile(self._before)
        if self._collects:
            gc.enable()
        return ""

    def _hear(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            known = _reach_of_builtin(argument)
        elif event == "call" and frame.f_code in _ENVIRONMENT_CODES:
            known = ENVIRONMENT, "os.environ"
        else:
            return
        if known is None or self._outer is None:
            return
        place = place_of(frame, self._outer)
        if place is not None:
            reach, name = known
            line = f"{place}: a step program reaches {reach.what} ({name}); {reach.fix}"
            if line not in self.found:
                self.found.append(line)


def _reach_of_builtin(function: Any) -> tuple[Reach, str] | None:
    """What a function written in C reaches, with the name it is known by."""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or getattr(owner, "__name__", "")
    if owner is _shared:
        return (CHANCE, f"random.{name}") if name in _UNSEEDED else None
    if isinstance(owner, type):
        dotted = f"{owner.__module__}.{owner.__qualname__}.{name}"
        found = reach_of(dotted, arguments=1) if owner.__module__ == "datetime" else None
        return None if found is None else (found, dotted)
    if module in ("posix", "nt"):
        return (_POSIX[name], f"os.{name}") if name in _POSIX else None
    if module == "time":
        found = WAIT if name == "sleep" else reach_of(f"time.{name}", arguments=1)
        return (found, f"time.{name}") if found in (CLOCK, WAIT) else None
    if module in ("io", "_io") and name in ("open", "open_code"):
        return FILES, "open"
    if module == "_thread" and name.startswith("start_"):
        return TASKS, "threading"
    return None
