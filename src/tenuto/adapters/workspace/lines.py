"""The difference of two texts, as a list of changed ranges of lines.

A shortest edit script by Myers' O(ND) algorithm, with every changed range then moved to where git puts it (as far
down as it goes, or level with a change on the other side), so that merges agree with git's where lines repeat.
Written out here because a merge's outcome is hashed and must not change with a library or a Python version.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Change", "changed_ranges", "split_lines"]

_COST_MAX = 1_500
"""Edits up to which the script is the shortest one; beyond it, lines that occur once in both texts anchor it."""


class Change(NamedTuple):
    """Lines `[start, end)` of the old text become lines `[new_start, new_end)` of the new one."""

    start: int
    end: int
    new_start: int
    new_end: int


def split_lines(data: bytes) -> list[bytes]:
    """The lines of a text with their ends; only LF ends a line, and the last one may lack it."""
    lines = data.split(b"\n")
    last = lines.pop()
    found = [line + b"\n" for line in lines]
    if last:
        found.append(last)
    return found


def changed_ranges(old: Sequence[bytes], new: Sequence[bytes]) -> list[Change]:
    """The changes that turn `old` into `new`, in order, never touching each other on both sides."""
    numbers: dict[bytes, int] = {}
    a = [numbers.setdefault(line, len(numbers)) for line in old]
    b = [numbers.setdefault(line, len(numbers)) for line in new]
    gone = [False] * (len(a) + 1)
    come = [False] * (len(b) + 1)
    _mark(a, b, gone, come)
    _slide(_Groups(a, gone), _Groups(b, come))
    _slide(_Groups(b, come), _Groups(a, gone))
    return _collect(gone, come)


def _mark(a: list[int], b: list[int], gone: list[bool], come: list[bool]) -> None:
    """Mark the lines that change. Works on lists of ranges, not by recursion."""
    work = [(0, len(a), 0, len(b))]
    while work:
        low_a, high_a, low_b, high_b = work.pop()
        while low_a < high_a and low_b < high_b and a[low_a] == b[low_b]:
            low_a += 1
            low_b += 1
        while low_a < high_a and low_b < high_b and a[high_a - 1] == b[high_b - 1]:
            high_a -= 1
            high_b -= 1
        in_b = set(b[low_b:high_b])
        in_a = set(a[low_a:high_a])
        left = [i for i in range(low_a, high_a) if a[i] in in_b]
        right = [j for j in range(low_b, high_b) if b[j] in in_a]
        kept = _shortest([a[i] for i in left], [b[j] for j in right])
        anchors = _anchors(a, b, left, right) if kept is None else []
        if anchors:
            at_a, at_b = low_a, low_b
            for i, j in [*anchors, (high_a, high_b)]:
                work.append((at_a, i, at_b, j))
                at_a, at_b = i + 1, j + 1
            continue
        gone[low_a:high_a] = [True] * (high_a - low_a)
        come[low_b:high_b] = [True] * (high_b - low_b)
        for i, j in kept or ():
            gone[left[i]] = False
            come[right[j]] = False


def _shortest(a: list[int], b: list[int]) -> list[tuple[int, int]] | None:
    """The pairs of equal lines that a shortest script keeps; None where it has more than `_COST_MAX` edits."""
    size_a, size_b = len(a), len(b)
    limit = min(size_a + size_b, _COST_MAX)
    middle = limit + 1
    furthest = [0] * (2 * limit + 3)
    trail: list[list[int]] = []
    for cost in range(limit + 1):
        trail.append(furthest[middle - cost - 1 : middle + cost + 2])
        for k in range(-cost, cost + 1, 2):
            at = middle + k
            if k == -cost or (k != cost and furthest[at - 1] < furthest[at + 1]):
                x = furthest[at + 1]
            else:
                x = furthest[at - 1] + 1
            y = x - k
            while x < size_a and y < size_b and a[x] == b[y]:
                x += 1
                y += 1
            furthest[at] = x
            if x == size_a and y == size_b:
                return _walk_back(trail, x, y)
    return None


def _walk_back(trail: list[list[int]], x: int, y: int) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for cost in range(len(trail) - 1, 0, -1):
        before = trail[cost]
        at = x - y + cost + 1
        down = x - y == -cost or (x - y != cost and before[at - 1] < before[at + 1])
        from_k = x - y + 1 if down else x - y - 1
        from_x = before[at + 1] if down else before[at - 1]
        from_y = from_x - from_k
        while x > from_x and y > from_y:
            x -= 1
            y -= 1
            kept.append((x, y))
        x, y = from_x, from_y
    kept += [(i, i) for i in range(x - 1, -1, -1)]
    kept.reverse()
    return kept


def _anchors(a: list[int], b: list[int], left: list[int], right: list[int]) -> list[tuple[int, int]]:
    """Lines that occur once in either range, as the longest series that keeps its order (patience)."""
    places: dict[int, list[int]] = {}
    for side, (lines, chosen) in enumerate(((a, left), (b, right))):
        for at in chosen:
            place = places.setdefault(lines[at], [0, 0, -1, -1])
            place[side] += 1
            place[2 + side] = at
    pairs = sorted((i, j) for count_a, count_b, i, j in places.values() if count_a == count_b == 1)
    tails: list[int] = []
    chain: list[tuple[int, int, int]] = []
    tops: list[int] = []
    for i, j in pairs:
        at = bisect_left(tails, j)
        chain.append((i, j, tops[at - 1] if at else -1))
        tails[at : at + 1] = [j]
        tops[at : at + 1] = [len(chain) - 1]
    found: list[tuple[int, int]] = []
    link = tops[-1] if tops else -1
    while link >= 0:
        i, j, link = chain[link]
        found.append((i, j))
    found.reverse()
    return found


class _Groups:
    """A cursor over the ranges of one text's changed lines, empty ranges between unchanged lines included.

    As in git's xdiff, the n-th range of one text stands at the same place as the n-th of the other.
    `marks` has one more place than there are lines, never set: the end, and, as `marks[-1]`, the beginning.
    """

    def __init__(self, lines: list[int], marks: list[bool]) -> None:
        self.lines = lines
        self.marks = marks
        self.start = self.end = 0
        self._grow_down()

    def _grow_down(self) -> None:
        while self.marks[self.end]:
            self.end += 1

    def _grow_up(self) -> None:
        while self.marks[self.start - 1]:
            self.start -= 1

    @property
    def empty(self) -> bool:
        return self.start == self.end

    def next(self) -> bool:
        if self.end == len(self.lines):
            return False
        self.start = self.end = self.end + 1
        self._grow_down()
        return True

    def previous(self) -> bool:
        if self.start == 0:
            return False
        self.start = self.end = self.start - 1
        self._grow_up()
        return True

    def slide_down(self) -> bool:
        if self.end >= len(self.lines) or self.lines[self.start] != self.lines[self.end]:
            return False
        self.marks[self.start] = False
        self.marks[self.end] = True
        self.start += 1
        self.end += 1
        self._grow_down()
        return True

    def slide_up(self) -> bool:
        if self.start <= 0 or self.lines[self.start - 1] != self.lines[self.end - 1]:
            return False
        self.start -= 1
        self.end -= 1
        self.marks[self.start] = True
        self.marks[self.end] = False
        self._grow_up()
        return True


def _slide(group: _Groups, other: _Groups) -> None:
    """Move every range to its place (xdl_change_compact of git's xdiff, without its indent heuristic)."""
    while True:
        if not group.empty:
            _place(group, other)
        if not group.next():
            return
        other.next()


def _place(group: _Groups, other: _Groups) -> None:
    level = False
    size = -1
    earliest = group.end
    while size != group.end - group.start:
        size = group.end - group.start
        while group.slide_up():
            other.previous()
        earliest = group.end
        level = not other.empty
        while group.slide_down():
            other.next()
            level = level or not other.empty
    if group.end != earliest and level:
        while other.empty:
            group.slide_up()
            other.previous()


def _collect(gone: list[bool], come: list[bool]) -> list[Change]:
    found: list[Change] = []
    i = j = 0
    while i < len(gone) - 1 or j < len(come) - 1:
        start, new_start = i, j
        while gone[i]:
            i += 1
        while come[j]:
            j += 1
        if i > start or j > new_start:
            found.append(Change(start, i, new_start, j))
        else:
            i += 1
            j += 1
    return found
