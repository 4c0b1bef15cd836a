"""Markdown files with front matter: keys between two lines of dashes, then a text."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from tenuto.adapters.plans.reading import described
from tenuto.adapters.plans.text import decode
from tenuto.adapters.plans.yaml_document import Document, read_yaml
from tenuto.errors import InvalidPlanError

__all__ = ["Fronted", "read_fronted"]

_FENCE = "---"
_LOOSE_DESCRIPTION = re.compile(r"(description:[ ]+)([^\s\"'|>\[{&*!#%@`].*)\Z")


class Fronted(NamedTuple):
    """The front matter, the text after it, and the line at which that starts."""

    document: Document
    body: str
    first_line: int


def read_fronted(data: bytes, file: str) -> Fronted:
    """Read a file's bytes; line ends become those of one line feed. Raises InvalidPlanError."""
    matter, body, first_line = _split(decode(data, file).replace("\r\n", "\n"), file)
    return Fronted(_document(matter, file), body, first_line)


def _document(matter: str, file: str) -> Document:
    if not matter.strip():
        return Document(file, {}, {}, {})
    document = read_yaml(_with_quoted_description(matter).encode(), file, first_line=2)
    if not isinstance(document.value, dict):
        raise InvalidPlanError(
            f"front matter is keys and values, not {described(document.value)}",
            where=document.place(()),
            fix="write keys such as name: between the --- lines",
        )
    return document


def _split(text: str, file: str) -> tuple[str, str, int]:
    """Front matter, body, and the line at which the body starts."""
    lines = text.split("\n")
    if lines[0].rstrip() != _FENCE:
        return "", text, 1
    end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise InvalidPlanError("front matter is not closed", where=f"{file}:1:1", fix="end it with a line ---")
    start = next((i for i, line in enumerate(lines[end + 1 :], end + 1) if line.strip()), end)
    return "\n".join(lines[1:end]) + "\n", "\n".join(lines[end + 1 :]), start + 1


def _with_quoted_description(matter: str) -> str:
    """Front matter in which a plain one-line description that holds a colon is quoted.

    Descriptions with examples in them (`Use it when. Examples: user: ...`) are common in such files, and no YAML.
    """
    lines = matter.split("\n")
    for index, line in enumerate(lines):
        match = _LOOSE_DESCRIPTION.match(line)
        loose = match is not None and (": " in match[2] or " #" in match[2] or match[2].rstrip().endswith(":"))
        continued = index + 1 < len(lines) and lines[index + 1].startswith((" ", "\t"))
        if match is not None and loose and not continued:
            lines[index] = match[1] + json.dumps(match[2].rstrip(), ensure_ascii=False)
    return "\n".join(lines)
