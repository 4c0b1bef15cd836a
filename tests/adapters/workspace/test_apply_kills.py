"""kill -9 of a process that applies, at any line of the code that does it; and apply again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tenuto.adapters.workspace import apply_directory, apply_note, files, replacing
from tenuto.adapters.workspace.paths import temporary_of
from tenuto.core.ids import Digest

from .conftest import Trees
from .test_apply_directory import AFTER, BEFORE, RUN, Place
from .test_patches import found, materialise

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
TRACED = frozenset(module.__file__ for module in (apply_directory, apply_note, files, replacing))
GONE = {path: body for path, body in BEFORE.items() if AFTER.get(path) != body}


def die_at(line: int) -> None:
    """End this process by SIGKILL at the given line, counted over all threads."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)


def killed(place: Place, line: int) -> bool:
    """Apply in a process of its own that dies at a line. Whether it did not get to its end."""
    child = os.fork()
    if child == 0:
        die_at(line)
        asyncio.run(place.apply())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


async def two_trees(trees: Trees) -> tuple[Digest, Digest]:
    return await trees.make(BEFORE), await trees.make(AFTER)


def kill_and_apply(root: Path, first: int, step: int) -> tuple[int, int]:
    """Kill at every `step`th line and apply again: how many were killed, and resumed."""
    kills = resumed = 0
    trees = Trees(root)
    base, tree = asyncio.run(two_trees(trees))
    line = first
    while True:
        place = Place(root / str(line), trees, base, tree)
        if not killed(place, line):
            return kills, resumed
        kills += 1
        applied = asyncio.run(place.apply())
        resumed += applied.resumed
        assert applied.left == (), f"killed at line {line}"
        assert found(place.directory) == {**AFTER, "mine.log": b"ignored"}, f"killed at line {line}"
        assert found(place.displaced / RUN / "1") == GONE, f"killed at line {line}"
        line += step


def test_a_killed_apply_is_finished_by_the_next_one(tmp_path: Path) -> None:
    kills, resumed = kill_and_apply(tmp_path, 300, 307)
    assert kills > 5
    assert resumed > 3


@pytest.mark.battery
@pytest.mark.timeout(1_200)
def test_an_apply_that_is_killed_anywhere_is_finished_by_the_next_one(tmp_path: Path) -> None:
    kills, resumed = kill_and_apply(tmp_path, 0, 7)
    assert kills > 200
    assert resumed > 150


def test_what_a_kill_left_behind_is_in_no_tree_and_is_taken_away(tmp_path: Path) -> None:
    """A user who goes on without finishing the apply does not hand its half-written files to the next run."""
    trees = Trees(tmp_path)
    base, tree = asyncio.run(two_trees(trees))
    place = Place(tmp_path / "place", trees, base, tree)
    half = {temporary_of(RUN, path): b"half" for path in ("changed.txt", "tool")}
    materialise(place.directory, {**half, ".tenuto-0123456789abcdef.new.txt": b"a user's"})
    captured = asyncio.run(trees.workspace.capture(place.directory))
    taken = {entry.path for entry in asyncio.run(trees.workspace.entries(captured))}
    assert taken == {*BEFORE, ".tenuto-0123456789abcdef.new.txt"}
    asyncio.run(place.apply(merge=True))
    assert found(place.directory).keys() == {*AFTER, "mine.log", ".tenuto-0123456789abcdef.new.txt"}
