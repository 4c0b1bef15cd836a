"""Commands that give the same bytes each time: how a plan asks for that, and what a command is given then."""

from __future__ import annotations

import re

import msgspec

from tenuto.core.ids import Digest
from tenuto.core.seeds import call_digest

__all__ = ["CLOCK", "CLOCK_PATTERN", "Repeatable", "Repetition", "clock_seconds", "repetition_of"]

CLOCK = "2026-01-01T00:00:00Z"
"""The moment of the clock where a plan names none. No run of this engine is older."""
CLOCK_PATTERN = r"^(19[89]\d|20\d\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
"""Since 1980, the first year that archives can hold."""


class Repeatable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a step's commands are repeatable, and at which moment (UTC) their clock stands.

    `on` is false for a step that does not follow the defaults of its plan.
    """

    clock: str = CLOCK
    on: bool = True


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """What a repeatable command is given. `clock_s`: seconds since 1970; `seed`: of its random numbers."""

    clock_s: int
    seed: Digest


def clock_seconds(text: str) -> int:
    """Seconds since 1970. ValueError where the text is no moment, such as the 30th of February."""
    if re.fullmatch(CLOCK_PATTERN, text) is None:
        raise ValueError(f"{text!r} is no moment")
    year, month, day, hour, minute, second = map(int, re.findall(r"\d+", text))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1] or hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{text!r} is no moment")
    days = (year - 1970) * 365 + (year - 1969) // 4 + sum(lengths[: month - 1]) + day - 1
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def repetition_of(asked: Repeatable | None, seed: str, place: str) -> Repetition | None:
    """What a command at this place of a run is given. `place` is without attempts: each attempt is given the same."""
    if asked is None or not asked.on:
        return None
    return Repetition(clock_s=clock_seconds(asked.clock), seed=call_digest(seed, place))
