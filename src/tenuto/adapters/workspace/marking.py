"""Conflict markers: writing them as git does (its style `diff3`), and finding those that are left.

    <<<<<<< a            the step whose text stands in the merge so far
    ...
    ||||||| base
    ...
    =======
    ...
    >>>>>>> b            the step that is folded in

A conflict around one that was marked before has longer markers than that.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tenuto.adapters.workspace.differences import list_changes
from tenuto.adapters.workspace.texts import Versions, is_text
from tenuto.adapters.workspace.trees import DIRECTORY, SYMLINK, TreeReader
from tenuto.core.ids import Digest
from tenuto.core.merging import MergedTree

__all__ = ["mark_conflict", "unresolved_in"]

_SIZE = 7
_BASE = "base"
_MARKER = re.compile(rb"^(<{7,}|>{7,}|\|{7,}) ([^\r\n]*?)[ \t\r]*$", re.MULTILINE)


def mark_conflict(versions: Versions, ours: str, theirs: str) -> bytes:
    """One conflict with its three versions. Lines end as those of the versions do; what lacks an end gets one."""
    parts = [list(part) for part in versions]
    end = b"\r\n" if _ends(parts) == {True} else b"\n"
    for part in parts:
        if part and not part[-1].endswith(b"\n"):
            part[-1] += end
    base, left, right = (b"".join(part) for part in parts)
    inner = [len(found[1]) for body in (base, left, right) for found in _MARKER.finditer(body)]
    size = max([_SIZE, *(length + 1 for length in inner)])
    return b"".join(
        (
            _marker(b"<", size, ours, end),
            left,
            _marker(b"|", size, _BASE, end),
            base,
            _marker(b"=", size, "", end),
            right,
            _marker(b">", size, theirs, end),
        )
    )


async def unresolved_in(reader: TreeReader, tree: Digest, merged: MergedTree) -> list[str]:
    """The files of `tree` that still hold markers of a merge, of those that conflicted or that were changed since."""
    labels = {step for conflict in merged.conflicts for step in conflict.steps}
    suspects = {conflict.path for conflict in merged.conflicts}
    if merged.marked is not None:
        suspects |= {change.path for change in await list_changes(reader, merged.marked, tree)}
    found: list[str] = []
    for path in sorted(suspects):
        node = await reader.find(tree, path)
        if node is None or node.mode in (DIRECTORY, SYMLINK):
            continue
        body = await reader.body(node.digest)
        if is_text(body) and _holds_markers(body, labels):
            found.append(path)
    return found


def _holds_markers(body: bytes, labels: Collection[str]) -> bool:
    """Whether a text holds a marker with one of the labels, or the base's."""
    known = {label.encode() for label in (_BASE, *labels)}
    return any(found[2] in known for found in _MARKER.finditer(body))


def _marker(sign: bytes, size: int, label: str, end: bytes) -> bytes:
    return sign * size + (b" " + label.encode() if label else b"") + end


def _ends(parts: list[list[bytes]]) -> set[bool]:
    """Whether lines that end at all end in CR LF: both where they differ."""
    return {line.endswith(b"\r\n") for part in parts for line in part if line.endswith(b"\n")}
