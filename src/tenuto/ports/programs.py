"""Python step programs as a port: finding the function a plan names, and the hash of its source."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from tenuto.core.ids import Digest

__all__ = ["Program", "ProgramSource"]


class Program(NamedTuple):
    """An async function `f(ctx, inputs)`, where it stands (`file:line`), and the hash of its source."""

    function: Callable[[Any, Any], Coroutine[Any, Any, Any]]
    where: str
    code: Digest


class ProgramSource(Protocol):
    def load(self, target: str) -> Program:
        """Import the program `python:module:function`. UsageError, one line, when there is none."""
        ...
