"""Sandboxes that were never finished: an engine was killed in the moment in which bwrap made one.

bwrap dies with its engine, but its first process, for less than a millisecond, does not die with bwrap yet. It then
waits for ever. No command was started in it, and nobody else ends it.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tenuto.adapters.sandboxes.guardian import descendants
from tenuto.adapters.sandboxes.launching import LAUNCH

__all__ = ["end_orphans"]

_INIT = 1


def end_orphans() -> list[int]:
    """End what is left of such sandboxes of this user; their pids. A bwrap that works has an engine or children."""
    ended = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        pid = int(name)
        with suppress(OSError, ValueError, IndexError):
            if _is_orphan(pid):
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
    return ended


def _is_orphan(pid: int) -> bool:
    place = Path(f"/proc/{pid}")
    if place.stat().st_uid != os.geteuid():
        return False
    arguments = place.joinpath("cmdline").read_bytes().split(b"\0")
    if os.path.basename(arguments[0]) != b"bwrap" or LAUNCH.encode() not in arguments:
        return False
    parent = int(place.joinpath("stat").read_bytes().rpartition(b")")[2].split()[1])
    return parent == _INIT and os.getpid() != _INIT and not descendants(pid)
