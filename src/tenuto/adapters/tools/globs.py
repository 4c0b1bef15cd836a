"""Globs over paths, matched segment by segment so that no pattern can take exponential time."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from itertools import product

__all__ = ["GLOB_CHARS_MAX", "glob_matcher"]

GLOB_CHARS_MAX = 512
ALTERNATIVES_MAX = 64

_BRACES = re.compile(r"\{([^{}]*)\}")


def glob_matcher(glob: str) -> Callable[[str], bool]:
    """A test of paths: `*` and `?` stay inside a segment, `**` spans any number of them, `{a,b}` is either.

    A glob without `/` is compared with the last segment of a path. Raises ValueError for one that is too long.
    """
    if len(glob) > GLOB_CHARS_MAX:
        raise ValueError(f"the glob is longer than {GLOB_CHARS_MAX} characters")
    patterns = [_segments(one) for one in _alternatives(glob)]
    return lambda path: any(_matches(pattern, path) for pattern in patterns)


def _alternatives(glob: str) -> list[str]:
    parts = _BRACES.split(glob)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > ALTERNATIVES_MAX:
        raise ValueError(f"the braces of the glob give more than {ALTERNATIVES_MAX} alternatives")
    return ["".join(chosen) for chosen in product(*choices)]


def _segments(glob: str) -> list[re.Pattern[str] | None]:
    """One compiled pattern a segment; None stands for `**`."""
    plain = glob.removeprefix("./").strip("/")
    segments = plain.split("/") if "/" in glob else ["**", plain]
    # fnmatch.translate writes atomic groups: a segment with many stars does not backtrack.
    return [None if one == "**" else re.compile(translate(one)) for one in segments]


def _matches(pattern: list[re.Pattern[str] | None], path: str) -> bool:
    """Whether all segments are taken up: the set of pattern positions reached, moved on segment by segment."""
    reached = _skip_spans(pattern, {0})
    for segment in path.split("/"):
        moved: set[int] = set()
        for at in reached:
            if at == len(pattern):
                continue
            one = pattern[at]
            if one is None:
                moved.add(at)
            elif one.match(segment):
                moved.add(at + 1)
        reached = _skip_spans(pattern, moved)
        if not reached:
            return False
    return len(pattern) in reached


def _skip_spans(pattern: list[re.Pattern[str] | None], reached: set[int]) -> set[int]:
    for at in sorted(reached):
        position = at
        while position < len(pattern) and pattern[position] is None:
            position += 1
            reached.add(position)
    return reached
