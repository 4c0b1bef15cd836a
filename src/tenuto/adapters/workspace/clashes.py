"""Where one side of a merge has a file and the other a directory."""

from __future__ import annotations

from collections.abc import Iterable

from tenuto.ports.workspace import FileChange

__all__ = ["below", "clashes"]


def clashes(mine: Iterable[FileChange], other: Iterable[FileChange]) -> list[str]:
    """Paths that are a file on one side and a directory on the other, both by a change; the topmost ones, sorted.

    A file that stands in the way unchanged is no clash: the other side has deleted it.
    """
    left = {change.path for change in mine if change.after is not None}
    right = {change.path for change in other if change.after is not None}
    tops = (left & _above(right)) | (right & _above(left))
    return sorted(top for top in tops if not below(top, tops - {top}))


def _above(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        while "/" in path:
            path = path.rpartition("/")[0]
            found.add(path)
    return found


def below(path: str, tops: Iterable[str]) -> bool:
    """Whether a path is one of `tops`, or inside one."""
    return any(path == top or path.startswith(top + "/") for top in tops)
