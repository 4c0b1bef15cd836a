"""Names of runs, steps, calls and digests: all derived, never random.

A position is `step path / attempt / ordinal`, e.g. `patch[0]/2/0`. Step names are never numbers, so a position
parses from the right. A lane of a gather at ordinal 0 numbers its calls `0.LANE.ORDINAL`.
"""

from __future__ import annotations

import re
from typing import NewType

__all__ = [
    "END_MERGE",
    "LOADED_PLAN",
    "MERGED_BELOW",
    "MERGED_NEEDS",
    "MERGED_WHOLE",
    "PREPARING",
    "SETTLED_MERGE",
    "Digest",
    "Position",
    "RunId",
    "StepPath",
    "call_id",
    "child_path",
    "container_path",
    "encode_key",
    "iteration_path",
    "member_path",
    "position",
    "split_position",
    "valid_name",
]

RunId = NewType("RunId", str)
StepPath = NewType("StepPath", str)
Position = NewType("Position", str)
Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal, 64 characters."""

MERGED_NEEDS, MERGED_BELOW, MERGED_WHOLE, LOADED_PLAN, SETTLED_MERGE = "0", "1", "2", "3", "4"
"""Ordinals of attempt 0, which prepares and closes a step: merging the trees that it needs; those of the steps below
it; putting the part of a tree that it saw back into the whole; loading its sub-plan; looking at what an agent made of
the conflicts of a merge."""

PREPARING = (MERGED_NEEDS, MERGED_BELOW, MERGED_WHOLE, LOADED_PLAN, SETTLED_MERGE)

END_MERGE = Position("end/0/0")
"""Where the last steps of a run's plan meet: no step has this name."""

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
    """The path of a `foreach` child, by its encoded key: `patch[src%2Fa.py]`."""
    return StepPath(f"{step}[{key}]")


def iteration_path(step: StepPath, number: int) -> StepPath:
    """The path of an iteration of `repeat`, counted from 1: `refine#3`."""
    return StepPath(f"{step}#{number}")


def member_path(block: StepPath, name: str) -> StepPath:
    """The path of a step of a block's plan: its name in the run's own plan, `do/inner` in the sub-plan of `do`."""
    return StepPath(f"{block}/{name}" if block else name)


def container_path(child: StepPath) -> StepPath:
    """The path of the step of which this is an item's child or an iteration."""
    return StepPath(child[: max(child.rfind("["), child.rfind("#"))])


def position(step: StepPath, attempt: int, ordinal: str | int) -> Position:
    return Position(f"{step}/{attempt}/{ordinal}")


def split_position(where: Position) -> tuple[StepPath, int, str]:
    """Take a position apart. Raises ValueError when it is none."""
    path, attempt, ordinal = where.rsplit("/", 2)
    return StepPath(path), int(attempt), ordinal


def call_id(run: RunId, where: Position) -> str:
    """The id of a call for the outside: run and position."""
    return f"{run}/{where}"
