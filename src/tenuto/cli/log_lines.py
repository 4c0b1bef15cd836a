"""The lines of `logs`: a column of times, one of places, then what happened and what it took."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tenuto.app.happenings import Happening
from tenuto.cli.amounts import shown_money, shown_short_time
from tenuto.cli.screen import Line, Span, cells, fitted, plain

__all__ = ["LogLines"]

PLACE_MIN = 14
PLACE_MAX = 28
WHAT_MIN = 16
"""Where less would be left for what happened, of what it took only the last things are told."""


class LogLines:
    """Lays out one line after another; the column of places grows with what stands in it."""

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._place = PLACE_MIN
        self._most = PLACE_MAX if width is None else max(PLACE_MIN, min(PLACE_MAX, width // 4))
        self._day = ""

    def lines(self, told: Happening) -> Iterator[Line]:
        """The line of one record, after one with the date where a day begins."""
        when = datetime.fromtimestamp(told.at_us / 1_000_000, UTC)
        day = when.strftime("%Y-%m-%d")
        if day != self._day:
            self._day = day
            yield plain(f"{day} UTC", "dim")
        place = told.call or told.step or ""
        self._place = min(self._most, max(self._place, cells(place)))
        time = f"{when:%H:%M:%S}.{when.microsecond // 1000:03}"
        took = _told_took(told, None)
        style = {True: "good", False: "bad", None: ""}[told.good]
        shown = _end_of(place, self._place)
        what = told.what
        if self._width is not None:
            room = self._width - len(time) - self._place - 4
            took = _told_took(told, room - WHAT_MIN)
            what = fitted(what, room - cells(took))
        yield (
            Span(f"{time}  ", "dim"),
            Span(f"{shown}{' ' * (self._place - cells(shown))}  "),
            Span(what, style),
            Span(took, "dim"),
        )


def _told_took(told: Happening, room: int | None) -> str:
    found = []
    if told.tokens:
        found.append(f"{told.tokens:,} tokens")
    if told.usd_micros:
        found.append(shown_money(told.usd_micros))
    if told.duration_ms is not None:
        found.append(shown_short_time(told.duration_ms))
    while found:
        took = f"  ({', '.join(found)})"
        if room is None or cells(took) <= room:
            return took
        del found[0]
    return ""


def _end_of(place: str, width: int) -> str:
    """A place that is too long keeps its end, which tells it from its neighbours."""
    if cells(place) <= width:
        return place
    cut = place[-(width - 1) :]
    while cells(cut) > width - 1:
        cut = cut[1:]
    return f"…{cut}"
