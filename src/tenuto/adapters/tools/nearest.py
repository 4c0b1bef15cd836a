"""What to tell a model whose text is not in a file: where something like it is, and how that differs."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches

__all__ = ["listed", "occurrences", "why_absent"]

LINES_MAX = 5_000
"""Lines of a file that are compared; what is beyond is only looked through for equal lines."""
LINES_COMPARED = 40
"""Lines of a block that are compared."""
STARTS_MAX = 100
"""Places that are compared."""
SHOWN_CHARS_MAX = 160


def occurrences(text: str, old: str) -> list[int]:
    """Lines, from 1, in which `old` begins: as many as `str.replace` replaces."""
    lines: list[int] = []
    at, line = 0, 1
    while (found := text.find(old, at)) >= 0:
        line += text.count("\n", at, found)
        lines.append(line)
        line += old.count("\n")
        at = found + len(old)
    return lines


def listed(lines: list[int]) -> str:
    """Line numbers for people."""
    return ", ".join(str(line) for line in lines[:10]) + (", ..." if len(lines) > 10 else "")


def why_absent(text: str, old: str, path: str) -> str:
    """One line: the nearest place to `old` in the text, and its first line that differs."""
    wanted = old.strip("\n").split("\n")
    lines = text.split("\n")
    start = _nearest(lines, wanted)
    if start is None:
        return f"old is not in {path}, nor anything like it; read the file again"
    end = min(start + len(wanted), len(lines))
    place = f"line {start + 1}" if end - start <= 1 else f"lines {start + 1} to {end}"
    for offset, line in enumerate(wanted):
        there = lines[start + offset] if start + offset < len(lines) else None
        if there == line:
            continue
        if there is None:
            return f"old is not in {path}; nearest is {place}, where the file ends"
        kind = "white space differs" if there.split() == line.split() else "it differs"
        return (
            f"old is not in {path}; nearest is {place}, where {kind} at line {start + offset + 1}: "
            f"the file has {_shown(there)}, old has {_shown(line)}"
        )
    return f"old is not in {path}; nearest is {place}, which differs in its line ends only"


def _nearest(lines: list[str], wanted: list[str]) -> int | None:
    """Index of the line where the block that is most alike begins; None where nothing is."""
    starts: set[int] = set()
    squeezed: dict[str, list[int]] = {}
    for at, line in enumerate(lines):
        hits = squeezed.setdefault(" ".join(line.split()), [])
        if len(hits) < STARTS_MAX:
            hits.append(at)
    for index, line in enumerate(wanted[:LINES_COMPARED]):
        if line.strip():
            starts |= {at - index for at in squeezed.get(" ".join(line.split()), ()) if at >= index}
    if not starts:
        starts = _alike(lines, wanted[0])
    best, found = 0.0, None
    for start in sorted(starts)[:STARTS_MAX]:
        there = lines[start : start + LINES_COMPARED]
        score = sum(map(_likeness, there, wanted)) / min(len(wanted), LINES_COMPARED)
        if score > best:
            best, found = score, start
    return found if best >= 0.4 else None


def _alike(lines: list[str], line: str) -> set[int]:
    """Where a line stands that is nearly the same."""
    known: dict[str, int] = {}
    for at, there in enumerate(lines[:LINES_MAX]):
        known.setdefault(there[:SHOWN_CHARS_MAX], at)
    return {known[near] for near in get_close_matches(line[:SHOWN_CHARS_MAX], known, n=3, cutoff=0.6)}


def _likeness(there: str, line: str) -> float:
    if there == line:
        return 1.0
    if there.split() == line.split():
        return 0.95
    return SequenceMatcher(None, there[:SHOWN_CHARS_MAX], line[:SHOWN_CHARS_MAX], autojunk=False).ratio() * 0.9


def _shown(line: str) -> str:
    return repr(line if len(line) <= SHOWN_CHARS_MAX else line[:SHOWN_CHARS_MAX] + "...")
