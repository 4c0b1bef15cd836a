"""Python step programs as a port: finding the function a plan names, and the hash of its source."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol, TypeVar

from tenuto.core.ids import Digest

__all__ = ["DepsCarrier", "Guard", "Program", "ProgramSource"]

Deps_co = TypeVar("Deps_co", covariant=True)


class DepsCarrier(Protocol[Deps_co]):
    """What hands a program its deps: a first parameter annotated `Context[Deps]` says that it needs some."""

    @property
    def deps(self) -> Deps_co: ...


class Guard(Protocol):
    """Watches step programs while their own code runs, and not while they wait. One serves many programs."""

    def enter(self) -> None:
        """The code runs from here, in this thread, until `leave`. Called by the frame that runs it."""
        ...

    def leave(self) -> str:
        """The code waits or has ended. What it reached without `ctx`, in one line; empty where nothing."""
        ...


class Program(NamedTuple):
    """An async function `f(ctx, inputs)`, where it stands (`file:line`), and the hash of its source.

    `deps` is what the caller of the run gave it, where it asks for any; never recorded. `guard` watches it in
    runs that are started with it. `modules` is the hash of all modules of its project that it is imported with, where
    these can be known.
    """

    function: Callable[[Any, Any], Coroutine[Any, Any, Any]]
    where: str
    code: Digest
    deps: Any = None
    guard: Guard | None = None
    modules: Digest | None = None


class ProgramSource(Protocol):
    def load(self, target: str) -> Program:
        """Import the program `python:module:function`. UsageError, one line, when there is none."""
        ...
