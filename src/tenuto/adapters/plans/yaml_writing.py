"""Writing YAML that `read_yaml` reads back as the same value, in the shapes people write.

Small objects and lists stand on one line, longer ones in blocks; texts of several lines stand as blocks (`|`); what
could be taken for something else is in quotes. The same value gives the same text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tenuto.core.canonical import canonical

__all__ = ["Block", "yaml_text"]

_WIDTH = 100
"""Columns that a value written on one line may reach."""
_KEY_MAX = 120
"""Characters of a key that stands before its colon: YAML has a limit, at 1,024."""
_PLAIN = re.compile(r"(?:[A-Za-z_]|\$\{\{)[\x20-\x7e\u00c0-\u02af]*\Z")
_PLAIN_DURATION = re.compile(r"(?:\d+(?:ms|[dhms]))+\Z")
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
"""Words that some version of YAML takes for no text, in any case of letters."""
_FLOW_ENDS = re.compile(r"[,\[\]{}]")
_COLON = re.compile(r":(?:\s|\Z)| #")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NO_BLOCK = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Block(dict[str, Any]):
    """An object that is never written on one line."""


def yaml_text(value: Mapping[str, Any]) -> str:
    """The text of a JSON object that is not empty. ValueError for what has no place in JSON."""
    canonical(value)
    return "\n".join(_lines(value, 0)) + "\n"


def _lines(value: Any, indent: int) -> Iterator[str]:
    if not isinstance(value, Mapping):
        for item in value:
            yield from _entry("-", item, indent)
        return
    for key, item in value.items():
        if len(key) > _KEY_MAX:
            yield " " * indent + f"? {_quoted(key)}"
            yield from _entry(":", item, indent)
        else:
            yield from _entry(f"{_word(key, flow=True)}:", item, indent)


def _entry(head: str, value: Any, indent: int) -> Iterator[str]:
    """A key or a dash, and the value behind or below it."""
    pad = " " * indent
    if isinstance(value, str) and _stands_as_block(value):
        yield from _block(f"{pad}{head}", value, indent + 2)
        return
    line = None if isinstance(value, Block) and value else _flow(value, _WIDTH - len(pad) - len(head))
    if line is not None:
        yield f"{pad}{head} {line if not isinstance(value, str) else _word(value, flow=False)}"
        return
    below = _lines(value, indent + 2)
    if head == "-":
        yield f"{pad}- {next(below)[indent + 2 :]}"
    else:
        yield f"{pad}{head}"
    yield from below


def _stands_as_block(text: str) -> bool:
    return "\n" in text and bool(text.strip("\n")) and _NO_BLOCK.search(text) is None


def _block(head: str, text: str, indent: int) -> Iterator[str]:
    # Where the text begins with white space, its indent cannot be told from its first line.
    told = "2" if text[0] in " \t\n" else ""
    kept = "+" if text.endswith("\n\n") else "" if text.endswith("\n") else "-"
    yield f"{head} |{told}{kept}"
    lines = text.split("\n")
    for line in lines[:-1] if lines[-1] == "" else lines:
        yield " " * indent + line if line else ""


def _flow(value: Any, room: int) -> str | None:
    """The value on one line; None where it does not fit. A text or a number always does: it is not broken."""
    if not isinstance(value, (Mapping, list, tuple)):
        return _word(value, flow=True) if isinstance(value, str) else canonical(value).decode()
    text = _flow_text(value)
    return text if text is not None and len(text) < room else None


def _flow_text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        parts = []
        for key, item in value.items():
            written = _flow_text(item)
            if written is None or len(key) > _KEY_MAX:
                return None
            parts.append(f"{_word(key, flow=True)}: {written}")
        return "{ " + ", ".join(parts) + " }" if parts else "{}"
    if isinstance(value, (list, tuple)):
        items = [_flow_text(item) for item in value]
        return None if None in items else "[" + ", ".join(str(item) for item in items) + "]"
    if isinstance(value, str):
        return None if _stands_as_block(value) else _word(value, flow=True)
    return canonical(value).decode()


def _word(text: str, *, flow: bool) -> str:
    """A text on one line: as it is where nobody can take it for anything else, else in quotes."""
    if _PLAIN_DURATION.match(text):
        return text
    plain = _PLAIN.match(text) is not None and text.lower() not in _WORDS and not text.endswith(" ")
    plain = plain and _COLON.search(text) is None and not (flow and _FLOW_ENDS.search(text))
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
