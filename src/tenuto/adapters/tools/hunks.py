"""Hunks and texts: where old lines stand, exactly, and the text with the new ones in their place. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tenuto.adapters.tools.nearest import listed
from tenuto.adapters.tools.patches import Hunk, PatchError

__all__ = ["Changed", "apply_hunks"]

_SHOWN_CHARS_MAX = 160
_PLACES_MAX = 20
_STARTS_MAX = 200
_LINES_COMPARED = 40


class Changed(NamedTuple):
    """A text after its hunks; `notes` say which stood at another line than they said."""

    text: str
    added: int
    removed: int
    notes: list[str]


def apply_hunks(text: str, hunks: Sequence[Hunk], path: str) -> Changed:
    """Apply hunks from the top of a text to its end. PatchError names hunk, line and what differs there."""
    lines = text.split("\n")
    ended = lines[-1] == ""
    if ended:
        lines.pop()
    # Each line of it stands between line ends: old lines are searched for in it at the speed of strings.
    whole = "\n" + "".join(f"{line}\n" for line in lines)
    out: list[str] = []
    taken = added = removed = drift = 0
    notes: list[str] = []
    for number, hunk in enumerate(hunks, 1):
        name = f"patch line {hunk.line}: {path}, hunk {number}"
        at = _place(lines, whole, hunk, taken, drift, name)
        if hunk.start is not None and at != hunk.start - 1:
            if at != hunk.start - 1 + drift:
                notes.append(f"{path}: hunk {number} says line {hunk.start} and was applied at line {at + 1}")
            drift = at - (hunk.start - 1)
        end = at + len(hunk.old)
        reaches_end = end == len(lines)
        if (hunk.old_ends is False or hunk.at_end) and not reaches_end:
            raise PatchError(f"{name}: its last line is no end of the file, which has {len(lines)} lines")
        if hunk.old_ends is False and ended and hunk.old:
            raise PatchError(f"{name}: it says that the file does not end in a line end, and it does")
        out += [*lines[taken:at], *hunk.new]
        taken = end
        if reaches_end and hunk.new_ends is not None:
            ended = hunk.new_ends
        elif reaches_end and (not lines or hunk.old_ends is False):
            ended = True
        removed += len(hunk.old) - hunk.context
        added += len(hunk.new) - hunk.context
    out += lines[taken:]
    return Changed("\n".join(out) + ("\n" if ended and out else ""), added, removed, notes)


def _place(lines: Sequence[str], whole: str, hunk: Hunk, taken: int, drift: int, name: str) -> int:
    """Index of the line where a hunk's old lines stand, at or after `taken`."""
    after = _behind(lines, hunk, taken, name)
    if hunk.start is not None:
        if not hunk.old:
            at = hunk.start - 1 + drift
            if not taken <= at <= len(lines):
                raise PatchError(f"{name}: the file has no line {at}, it has {len(lines)}")
            return at
        for at in dict.fromkeys((hunk.start - 1, hunk.start - 1 + drift)):
            if at >= taken and tuple(lines[at : at + len(hunk.old)]) == hunk.old:
                return at
    elif not hunk.old:
        return len(lines) if not hunk.after else after
    found = _found(lines, whole, hunk, after)
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise PatchError(
            f"{name}: its old lines stand at lines {listed([at + 1 for at in found])}; give more lines around them"
        )
    raise PatchError(f"{name}: {_difference(lines, hunk, after)}")


def _behind(lines: Sequence[str], hunk: Hunk, taken: int, name: str) -> int:
    """Where to look from: behind the lines that the hunk names before it."""
    at = taken
    for named in hunk.after:
        wanted = named.strip()
        hit = next((n for n in range(at, len(lines)) if lines[n].strip() == wanted), None)
        if hit is None:
            raise PatchError(f"{name}: there is no line {_shown(named)} from line {at + 1} on")
        at = hit + 1
    return at


def _found(lines: Sequence[str], whole: str, hunk: Hunk, after: int) -> list[int]:
    """Where the old lines stand from `after` on; a few of the places are enough. `whole` is all lines, with ends."""
    size = len(hunk.old)
    if hunk.at_end:
        at = len(lines) - size
        return [at] if at >= after and tuple(lines[at:]) == hunk.old else []
    piece = "\n" + "".join(f"{line}\n" for line in hunk.old)
    found: list[int] = []
    offset = place = line = 0
    while len(found) < _PLACES_MAX and (place := whole.find(piece, offset)) >= 0:
        line += whole.count("\n", offset, place)
        if line >= after:
            found.append(line)
        line += 1
        offset = place + 1
    return found


def _difference(lines: Sequence[str], hunk: Hunk, after: int) -> str:
    """The first line at which the nearest place differs: where most lines agree, or where the hunk says."""
    told = 0 if hunk.start is None else hunk.start - 1
    wanted: dict[str, int] = {}
    for n, old in enumerate(hunk.old[:_LINES_COMPARED]):
        wanted.setdefault(old, n)
    tries = [at - wanted[line] for at, line in enumerate(lines) if at >= after and line in wanted]
    starts = {at for at in tries[:_STARTS_MAX] if at >= after}
    if hunk.start is not None and told >= after:
        starts.add(told)
    if not starts:
        return f"its first line {_shown(hunk.old[0])} is not in the file from line {after + 1} on; read it again"

    def agreeing(at: int) -> int:
        return sum(a == b for a, b in zip(lines[at : at + _LINES_COMPARED], hunk.old, strict=False))

    best = max(sorted(starts), key=lambda at: (agreeing(at), at == told, -at))
    for offset, old in enumerate(hunk.old):
        if best + offset >= len(lines):
            return f"the file ends at line {len(lines)}, where the patch expects {_shown(old)}"
        if lines[best + offset] != old:
            there = lines[best + offset]
            kind = " (only white space differs)" if there.split() == old.split() else ""
            return f"line {best + offset + 1} is {_shown(there)}, where the patch expects {_shown(old)}{kind}"
    return "its old lines stand before those of an earlier hunk; put hunks in the order of the file"


def _shown(line: str) -> str:
    return repr(line if len(line) <= _SHOWN_CHARS_MAX else line[:_SHOWN_CHARS_MAX] + "...")
