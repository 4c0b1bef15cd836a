"""The log beside a store in use, as a file: whether it is still there, and long enough.

A sync of a file that grew costs about twice that of one that did not: its new length must be written down too. SQLite
lets its log grow with every commit until it begins again at the start. So a log that grows is made longer for many
commits at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["STRETCH_FROM_BYTES", "Log"]

STRETCH_FROM_BYTES = 512_000
"""A shorter one may never get that long."""
STRETCH_BYTES = 512_000


class Log:
    """Of the store at `path`. Nobody locks this file, so that closing it does no harm."""

    def __init__(self, path: Path, *, stretched_to: int) -> None:
        self._path = f"{path}-wal"
        self._stretched_to = stretched_to
        self._descriptor: int | None = None
        self._length = 0
        self._grew = False

    def looked_at(self) -> bool:
        """After a commit: False where nobody can find what went into the log.

        Somebody may have removed the store, or its log, under us: then our commits succeed and reach no one.
        """
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            found = os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # no descriptor to spare: the next commit looks
        self._grew = self._length < found.st_size
        self._length = found.st_size
        return found.st_nlink > 0

    def stretch(self) -> None:
        """In a transaction, because nobody else adds to the log then. The zeros become durable with its commit.

        Who reads a log stops at the first frame that is none. A hole would not do: to fill it takes as long.
        """
        if not self._grew or not STRETCH_FROM_BYTES <= self._length < self._stretched_to or self._descriptor is None:
            return
        self._grew = False
        with suppress(OSError):  # where it does not fit, SQLite will say so
            end = os.fstat(self._descriptor).st_size
            self._length = end + os.pwrite(self._descriptor, bytes(STRETCH_BYTES), end)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
