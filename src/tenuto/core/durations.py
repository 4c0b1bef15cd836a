"""Durations as people write them: `500ms`, `30s`, `1h30m`."""

from __future__ import annotations

import re

__all__ = ["DURATION_PATTERN", "duration_text", "read_duration_ms"]

DURATION_PATTERN = r"^(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$"
"""The same as a regular expression of JSON Schema."""
_DURATION = re.compile(r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,6})s)?(?:(\d{1,9})ms)?\Z")
_UNITS_MS = (86_400_000, 3_600_000, 60_000, 1_000, 1)


def read_duration_ms(text: str) -> int:
    """Milliseconds. Raises ValueError for a text that is no duration."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no duration; write a number with its unit, such as 20m, 1h30m or 500ms")
    return sum(int(count or 0) * unit for count, unit in zip(match.groups(), _UNITS_MS, strict=True))


def duration_text(milliseconds: int) -> str:
    """The shortest way to write it in whole units."""
    parts: list[str] = []
    for unit, length in zip(("d", "h", "m", "s", "ms"), _UNITS_MS, strict=True):
        count, milliseconds = divmod(milliseconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
