"""Merging one text three-way, by lines (diff3, as git's xdiff does it).

Changes of both sides that overlap or touch form one region. A region that only one side changed takes that side;
one that both changed into the same text takes it; any other is a conflict. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from tenuto.adapters.workspace.lines import Change, changed_ranges, split_lines

__all__ = ["Region", "Side", "Versions", "is_text", "merge_lines", "merge_texts", "touches"]

Side = Literal["base", "ours", "theirs"]


class Region(NamedTuple):
    """A conflict: lines `[start, end)` of the base, which both sides changed."""

    start: int
    end: int


class Versions(NamedTuple):
    """The lines of a conflict's region on each side."""

    base: Sequence[bytes]
    ours: Sequence[bytes]
    theirs: Sequence[bytes]


def is_text(data: bytes) -> bool:
    """Whether a body is merged by lines: none with NUL in its first 8,000 bytes (git's rule for binary)."""
    return b"\0" not in data[:8_000]


def merge_texts(
    base: bytes, ours: bytes, theirs: bytes, settle: Callable[[Region], Side | None]
) -> tuple[bytes | None, list[Region]]:
    """The merged text and its conflicts. `settle` says whose lines a conflict takes; None leaves it open.

    The text is None where a conflict stays open.
    """
    lines, conflicts = merge_lines(split_lines(base), split_lines(ours), split_lines(theirs), settle)
    return (None if lines is None else b"".join(lines)), conflicts


def merge_lines(
    old: Sequence[bytes],
    left: Sequence[bytes],
    right: Sequence[bytes],
    settle: Callable[[Region], Side | None],
    mark: Callable[[Region, Versions], bytes] | None = None,
) -> tuple[list[bytes] | None, list[Region]]:
    """The same by lines. With `mark`, what it makes of an open conflict stands for it, as if it were one line."""
    out: list[bytes] = []
    conflicts: list[Region] = []
    whole = True
    at = 0
    for mine, other in _regions(changed_ranges(old, left), changed_ranges(old, right)):
        start = min(change.start for change in (*mine, *other))
        end = max(change.end for change in (*mine, *other))
        out += old[at:start]
        at = end
        in_left = _after(old, left, mine, start, end)
        in_right = _after(old, right, other, start, end)
        if not other or in_left == in_right:
            out += in_left
        elif not mine:
            out += in_right
        else:
            region = Region(start, end)
            conflicts.append(region)
            side = settle(region)
            if side is None and mark is not None:
                out.append(mark(region, Versions(old[start:end], in_left, in_right)))
                continue
            whole = whole and side is not None
            out += {"ours": in_left, "theirs": in_right}.get(side or "base", old[start:end])
    out += old[at:]
    return (out if whole else None), conflicts


def touches(base: bytes, text: bytes, region: Region) -> bool:
    """Whether the way from `base` to `text` changes something in (or right beside) a region of the base."""
    changes = changed_ranges(split_lines(base), split_lines(text))
    return any(change.start <= region.end and change.end >= region.start for change in changes)


def _regions(mine: Sequence[Change], other: Sequence[Change]) -> list[tuple[list[Change], list[Change]]]:
    """Changes of both sides, grouped where they overlap or touch. Those of one side never touch each other."""
    found: list[tuple[list[Change], list[Change]]] = []
    end = -1
    marked = [(change, 0) for change in mine] + [(change, 1) for change in other]
    for change, side in sorted(marked, key=lambda pair: (pair[0].start, pair[0].end, pair[1])):
        if change.start > end:
            found.append(([], []))
        found[-1][side].append(change)
        end = max(end, change.end)
    return found


def _after(
    old: Sequence[bytes], new: Sequence[bytes], changes: Sequence[Change], start: int, end: int
) -> list[bytes]:
    """What one side has in place of the base's lines `[start, end)`."""
    out: list[bytes] = []
    at = start
    for change in changes:
        out += old[at : change.start]
        out += new[change.new_start : change.new_end]
        at = change.end
    out += old[at:end]
    return out
