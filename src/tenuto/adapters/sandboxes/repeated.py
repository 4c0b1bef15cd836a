"""A repeatable command as bubblewrap runs it: followed by `adapters.repeating`, in a tree of a fixed path."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path

from tenuto.adapters.repeating.command import NOT_FOLLOWED, NOT_FOLLOWED_NOTE
from tenuto.core.repetition import CLOCK, Repetition, clock_seconds
from tenuto.errors import SandboxUnavailableError
from tenuto.ports.tools import SandboxCommand

__all__ = ["NOT_FOLLOWED", "NOT_FOLLOWED_NOTE", "TREE", "repeating"]

TREE = "/tree"
"""Where a repeatable command finds its step's tree."""
_SCRATCH = "/dev/shm/.tenuto"
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tenuto.adapters.repeating.command import run; run()"


def repeating(command: SandboxCommand, repetition: Repetition) -> SandboxCommand:
    """The command that follows `command`. SandboxUnavailableError where system calls are not known."""
    if platform.machine() != "x86_64":
        raise SandboxUnavailableError(
            f"commands cannot be made repeatable on {platform.machine()}",
            fix="run it on x86_64, or remove repeatable",
        )
    package = Path(__file__).parents[2]
    # What a run writes is newer than this engine, whatever moment is shown.
    newest = min(repetition.clock_s, clock_seconds(CLOCK))
    follower = (
        *(sys.executable, "-I", "-S", "-c", _START, str(package.parent)),
        *(str(repetition.clock_s), str(newest), repetition.seed, _SCRATCH),
    )
    return replace(command, argv=(*follower, *command.argv), readable=(*command.readable, str(package)))
