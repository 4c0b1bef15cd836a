"""Candidate sentences of a file: the first sentence of each docstring, as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tenuto.demo.facts import Quote
from tenuto.demo.source import Definition

__all__ = ["first_sentence", "quotes"]

_ROLE = re.compile(r":[a-zA-Z:+-]+:`~?!?([^`<]*?)(?:\s*<[^`>]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]+>`_{0,2}")
_MARKDOWN_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)\s+(?=[A-Z\"'(`:*])")
_FIELD = re.compile(r"^\s*(?::\w|>>>|\.\. |[-=~^*#]{3,}|@\w|\||Args:|Parameters$|Returns:|Usage:)")
_SHORTEST, _LONGEST, _WORDS_MIN = 20, 160, 4
_READ_MAX = 2_000
"""Characters looked at: a first sentence is near the start, and the patterns above are quadratic at worst."""


def first_sentence(docstring: str) -> str:
    """The first sentence of a docstring's first paragraph of prose; empty where there is none fit to quote.

    Markup is taken out. A sentence longer than 160 characters is refused, not cut.
    """
    for paragraph in re.split(r"\n\s*\n", docstring.strip()[:_READ_MAX]):
        lines = [line for line in paragraph.splitlines() if line.strip()]
        if not lines or any(_FIELD.match(line) for line in lines):
            continue
        sentence = _END.split(_plain(" ".join(" ".join(lines).split())))[0]
        if sentence.endswith(":"):
            return ""
        if _SHORTEST <= len(sentence) <= _LONGEST and len(sentence.split()) >= _WORDS_MIN:
            return sentence
        if len(sentence) > _LONGEST:
            return ""
    return ""


def quotes(definitions: Iterable[Definition], *, most: int = 3) -> tuple[Quote, ...]:
    """At most `most` sentences, in the order given; equal sentences once."""
    found: dict[str, Quote] = {}
    for one in definitions:
        sentence = first_sentence(one.docstring)
        if sentence and sentence not in found:
            found[sentence] = Quote(name=one.name, text=sentence)
        if len(found) == most:
            break
    return tuple(found.values())


def _plain(text: str) -> str:
    text = _ROLE.sub(lambda hit: hit[1].strip().rsplit(".", 1)[-1] if " " not in hit[1] else hit[1], text)
    text = _LINK.sub(r"\1", text)
    text = _MARKDOWN_LINK.sub(r"\1", text)
    return text.replace("`", "").replace("**", "").strip()
