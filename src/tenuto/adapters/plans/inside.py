"""Where a character of a string stands in the YAML file that holds the string.

What the file has at that place is compared with the string: where the two do not agree (escapes, folded lines), the
answer is None and not a guess.
"""

from __future__ import annotations

from typing import Any

from tenuto.adapters.plans.text import Mark
from tenuto.adapters.plans.yaml_document import Document, KeyPath, written
from tenuto.core.problems import Locate

__all__ = ["locator", "place_inside"]


def locator(document: Document, data: bytes) -> Locate:
    """What finds the characters of a document's strings in `data`, which it was read from. It works when asked."""

    def locate(path: str, offset: int) -> str:
        found = next((parts for parts in document.values if written(parts) == path), None)
        text = None if found is None else _value(document.value, found)
        if found is None or not isinstance(text, str):
            return ""
        mark = place_inside(data.decode().split("\n"), document.values[found], text, offset)
        return "" if mark is None else f"{document.file}:{mark.line}:{mark.column}"

    return locate


def _value(value: Any, path: KeyPath) -> Any:
    for part in path:
        value = value[part]
    return value


def place_inside(lines: list[str], start: Mark, text: str, offset: int) -> Mark | None:
    """The place of `text[offset]`; the value begins at `start`, in a file with these lines."""
    first = lines[start.line - 1][start.column - 1 :] if start.line <= len(lines) else ""
    if first[:1] in ("|", ">"):
        return _in_block(lines, start, text, offset)
    quote = 1 if first[:1] in ("'", '"') else 0
    if first[quote:].startswith(text[: offset + 1]):
        return Mark(start.line, start.column + quote + offset)
    return None


def _in_block(lines: list[str], start: Mark, text: str, offset: int) -> Mark | None:
    """In a block, each line of the text is one of the file, behind the indent of the first that has any."""
    body = lines[start.line :]
    indent = next((len(line) - len(line.lstrip(" ")) for line in body if line.strip()), 0)
    row = text.count("\n", 0, offset)
    begin = text.rfind("\n", 0, offset) + 1
    line = body[row][indent:] if row < len(body) else ""
    if line.startswith(text[begin : offset + 1].rstrip("\n")):
        return Mark(start.line + 1 + row, indent + 1 + offset - begin)
    return None
