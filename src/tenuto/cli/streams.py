"""The standard streams: there, able to take any text, and left quiet when they cannot be written any more."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

__all__ = ["prepare_streams", "silence"]


def prepare_streams() -> None:
    """Give a process all three streams. What is closed leads nowhere, and what a stream's encoding lacks is escaped.

    A closed descriptor is filled before anything is opened: else the store's file may become stdout.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _fill(number)
    sys.stdin = sys.stdin or _stream(0, "r")
    sys.stdout = sys.stdout or _stream(1, "w")
    sys.stderr = sys.stderr or _stream(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _stream(number: int, mode: str) -> TextIO:
    return io.TextIOWrapper(open(number, f"{mode}b", closefd=False), encoding="utf-8")


def _fill(number: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened == number:
        os.set_inheritable(number, True)
        return
    os.dup2(opened, number)
    os.close(opened)


def silence(stream: TextIO) -> None:
    """From here on the stream leads nowhere: the interpreter's end, which flushes it, says nothing either."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
