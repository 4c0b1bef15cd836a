"""The screen that a person reads: how wide it is, whether it shows colours, and text that is laid out for it.

What is laid out are lines of spans, so that the text itself never holds what a terminal obeys.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TextIO

from tenuto.cli.output import printable

__all__ = ["Line", "Screen", "Span", "cells", "fitted", "folded", "plain", "screen_of"]

WIDTH_MIN = 40
_STYLES = {
    "": "",
    "bold": "1",
    "dim": "2",
    "bad": "31",
    "good": "32",
    "odd": "33",
    "busy": "36",
}
"""What a span can be, and what a terminal calls it."""


class Span(NamedTuple):
    """A piece of a line, and how it is shown."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def plain(text: str, style: str = "") -> Line:
    """A line that is all of one kind."""
    return (Span(text, style),)


class Screen:
    """Where lines go. `width` is None where nobody said how wide it is: lines are then left whole."""

    def __init__(self, stream: TextIO, *, width: int | None, colour: bool) -> None:
        self._stream = stream
        self.width = width
        self._colour = colour

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines, each as it comes."""
        for line in lines:
            self._stream.write("".join(map(self._shown, _stripped(line))) + "\n")

    def _shown(self, span: Span) -> str:
        text = printable(span.text)
        if not self._colour or not span.style or not text.strip():
            return text
        return f"\x1b[{_STYLES[span.style]}m{text}\x1b[0m"


def _stripped(line: Line) -> Line:
    """Without the blanks at its end, which a colour would keep."""
    while line and not line[-1].text.rstrip():
        line = line[:-1]
    return (*line[:-1], line[-1]._replace(text=line[-1].text.rstrip())) if line else line


def screen_of(variables: Mapping[str, str], stream: TextIO | None = None) -> Screen:
    """The screen behind a stream (stdout where none is given), as the environment describes it.

    Colours are for terminals, and not where NO_COLOR is set. `COLUMNS` says the width of what is no terminal.
    """
    out = sys.stdout if stream is None else stream
    terminal = out.isatty() and variables.get("TERM", "") not in ("", "dumb")
    return Screen(out, width=_width(variables, out), colour=terminal and not variables.get("NO_COLOR"))


def _width(variables: Mapping[str, str], stream: TextIO) -> int | None:
    given = variables.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and 0 < int(given) < 10_000:
        return max(WIDTH_MIN, int(given))
    if not stream.isatty():
        return None
    try:
        return max(WIDTH_MIN, os.get_terminal_size(stream.fileno()).columns or 80)
    except OSError:
        return 80


def cells(text: str) -> int:
    """How many columns a terminal needs for a text."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, width: int) -> str:
    """A text on one line and of at most that many columns (3 or more); what is cut off is said by `…`."""
    line = " ".join(text.split())
    if cells(line) <= width:
        return line
    return f"{_head(line, width - 1)}…"


def _head(text: str, width: int) -> str:
    """As much of the beginning as fits, at least one character."""
    used = 0
    for at, character in enumerate(text):
        used += _cell(character)
        if used > width and at:
            return text[:at]
    return text


def folded(text: str, width: int | None, indent: str = "") -> Iterator[str]:
    """The lines of a text, each at most that wide with its indent; broken between words where there are any."""
    room = None if width is None else max(WIDTH_MIN // 2, width - cells(indent))
    for line in text.expandtabs(4).split("\n"):
        if room is None or cells(line) <= room:
            yield (indent + line).rstrip()
            continue
        own = line[: len(line) - len(line.lstrip())][: room // 2]
        rest = line
        while cells(rest) > room:
            head = _head(rest, room)
            space = head.rfind(" ", len(own) + 1)
            at = space if space > 0 else len(head)
            yield (indent + rest[:at]).rstrip()
            rest = own + rest[at:].lstrip(" ")
        yield (indent + rest).rstrip()
