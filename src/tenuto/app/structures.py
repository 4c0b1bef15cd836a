"""Two JSON values as a diff of lines."""

from __future__ import annotations

import difflib
import json
from typing import Any

__all__ = ["structural_diff"]

LINES_MAX = 60


def structural_diff(before: Any, after: Any, name_before: str, name_after: str) -> list[str]:
    """A unified diff of the values written out with sorted keys; texts of several lines stand line by line."""
    one, two = (_lines(value) for value in (before, after))
    found = list(difflib.unified_diff(one, two, name_before, name_after, lineterm="", n=2))
    if len(found) <= LINES_MAX:
        return found
    return [*found[:LINES_MAX], f"... {len(found) - LINES_MAX} more lines; --json has all"]


def _lines(value: Any) -> list[str]:
    if value is None or value == {}:
        return []
    written = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    return [part for line in written.splitlines() for part in line.replace("\\n", "\\n\n").split("\n")]
