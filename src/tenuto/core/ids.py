"""Names of runs, steps, calls and digests: all derived, never random.

A position is `step path / attempt / ordinal`, e.g. `patch[0]/2/0`. Step names are never numbers, so a position
parses from the right. A lane of a gather at ordinal 0 numbers its calls `0.LANE.ORDINAL`.
"""

from __future__ import annotations

import re
from typing import NewType

__all__ = [
    "Digest",
    "Position",
    "RunId",
    "StepPath",
    "call_id",
    "child_path",
    "encode_key",
    "position",
    "split_position",
    "valid_name",
]

RunId = NewType("RunId", str)
StepPath = NewType("StepPath", str)
Position = NewType("Position", str)
Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal, 64 characters."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")


def valid_name(name: str) -> bool:
    """Whether a step, agent or input may have this name: a letter or `_`, then at most 63 of `[A-Za-z0-9_-]`."""
    return _NAME.match(name) is not None


def encode_key(key: str) -> str:
    """Percent-encode a `foreach` key so that it can stand in a path between brackets."""
    if all(c in _PLAIN for c in key):
        return key
    return "".join(c if c in _PLAIN else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace")) for c in key)


def child_path(step: StepPath, key: str) -> StepPath:
    """The path of a `foreach` child: `patch[src%2Fa.py]`."""
    return StepPath(f"{step}[{encode_key(key)}]")


def position(step: StepPath, attempt: int, ordinal: str | int) -> Position:
    return Position(f"{step}/{attempt}/{ordinal}")


def split_position(where: Position) -> tuple[StepPath, int, str]:
    """Take a position apart. Raises ValueError when it is none."""
    path, attempt, ordinal = where.rsplit("/", 2)
    return StepPath(path), int(attempt), ordinal


def call_id(run: RunId, where: Position) -> str:
    """The id of a call for the outside: run and position."""
    return f"{run}/{where}"
