"""Where a commit runs: on the loop's own thread while the disk is quick, on the writer's when it is slow.

A commit costs a busy engine less on its own thread: two threads that share an interpreter wait for each other at
every statement. But it keeps the loop from everything else, so a slow disk must not be waited for there.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Pace"]

QUICK_US = 2_000
QUICK_US_PER_JOB = 50
"""A commit of many jobs has more to write, and each of them would have cost a hop to the other thread and back."""
WINDOW = 9
PATIENCE_MAX = 1_024


class Pace:
    """Judges by the majority of the last commits on loops; a slow disk is tried again, ever more rarely."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._skipped = 0
        self._patience = 1

    def on_loop(self) -> bool:
        """Whether the next commit may run on its loop's thread."""
        if sum(self._recent) * 2 >= len(self._recent):
            return True
        self._skipped += 1
        if self._skipped < self._patience:
            return False
        self._skipped = 0
        return True

    def note(self, took_us: int, jobs: int) -> None:
        """How long a commit on a loop's thread took."""
        quick = took_us <= QUICK_US + jobs * QUICK_US_PER_JOB
        self._recent.append(quick)
        self._patience = 1 if quick else min(self._patience * 2, PATIENCE_MAX)
