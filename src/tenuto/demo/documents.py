"""The facts of a text file that is not Python: its headings, its first sentence, the files it links to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from tenuto.demo.facts import Mention, Quote
from tenuto.demo.sentences import first_sentence

__all__ = ["DOCUMENT_AREAS", "Document", "candidate_document_areas", "read_document"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DOCUMENT_AREAS: dict[str, frozenset[str]] = {
    "introduction": _words("readme introduction overview about index home start started welcome"),
    "guide": _words("guide guides tutorial how howto usage use learn example examples contributing install"),
    "reference": _words("reference api spec specification schema format command commands glossary"),
    "design": _words("design architecture decision decisions proposal rfc adr plan roadmap notes"),
    "history": _words("changelog changes history news release releases version"),
    "rules": _words("license licence copying code conduct security policy governance authors notice"),
    "source": _words("src lib app cmd pkg internal test tests script scripts"),
    "other": _words(""),
}
"""The areas of an index of documents, in the order of its sections."""

_MARKDOWN_HEADING = re.compile(r"^ {0,3}#{1,3}\s+(.+?)\s*#*$")
_UNDERLINE = re.compile(r"^([=\-~^*#+\"'`:.])\1{2,}\s*$")
_LINK = re.compile(r"\]\(\s*<?([^)\s>#]+)|`[^`<]*<([^`>#\s]+)[^`>]*>`_|:doc:`(?:[^`<]*<)?([^`>]+)>?`")
_REQUEST = re.compile(r"\b((?:TODO|FIXME)\b.*)")
_NAMES_MAX, _LINE_MAX = 60, 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    lines: int
    links: tuple[str, ...]
    names: tuple[str, ...]
    quotes: tuple[Quote, ...]
    summary: str
    text: str
    todos: tuple[Mention, ...]


def read_document(path: str, data: bytes, files: Collection[str]) -> Document:
    """Read one text file; `files` are the paths its links may point to. ValueError where it is not UTF-8 text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    if "\0" in text:
        raise ValueError("is not text")
    # longer lines are data, and several of the patterns here are quadratic in the length of a line
    lines = [line[:_LINE_MAX] for line in text.splitlines()]
    sections = _sections(lines)
    found: dict[str, Quote] = {}
    for name, body in sections:
        sentence = first_sentence(body)
        if sentence:
            found.setdefault(sentence, Quote(name=name, text=sentence))
    chosen = tuple(found.values())
    return Document(
        lines=len(lines),
        links=_links(path, lines, files),
        names=tuple(dict.fromkeys(name for name, _ in sections if name))[:_NAMES_MAX],
        quotes=chosen[:3],
        summary=chosen[0].text if chosen and sections[0][1] and first_sentence(sections[0][1]) else "",
        text=text,
        todos=tuple(
            Mention(line=number, text=hit[1][:100])
            for number, line in enumerate(lines, 1)
            if (hit := _REQUEST.search(line))
        ),
    )


def candidate_document_areas(path: str, names: tuple[str, ...], *, most: int = 3) -> tuple[str, ...]:
    """The areas a document may belong to, best first, at least one; one alone where nothing speaks for others."""
    file_words = set(re.findall(r"[a-z]+", path.lower()))
    name_words = set(re.findall(r"[a-z]+", " ".join(names).lower()))
    scores = {area: 3 * len(words & file_words) + len(words & name_words) for area, words in DOCUMENT_AREAS.items()}
    order = list(DOCUMENT_AREAS)
    best = sorted((area for area in scores if scores[area]), key=lambda area: (-scores[area], order.index(area)))
    return tuple(area for area in best if 2 * scores[area] > scores[best[0]])[:most] or ("other",)


def _sections(lines: list[str]) -> list[tuple[str, str]]:
    """(heading, text below it), in order; the first may have no heading."""
    found: list[tuple[str, list[str]]] = [("", [])]
    fenced = False
    for number, line in enumerate(lines):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            found[-1][1].append("")
            continue
        if fenced:
            continue
        hit = _MARKDOWN_HEADING.match(line)
        if hit:
            found.append((_heading(hit[1]), []))
        elif _UNDERLINE.match(line) and number and lines[number - 1].strip() and found[-1][1]:
            title = found[-1][1].pop()
            found.append((_heading(title), []))
        else:
            found[-1][1].append(re.sub(r"^\s*(?:#!?|//+!?|/?\*+|;+|--)\s?", "", line))
    sections = [(name, "\n".join(body)) for name, body in found]
    return sections[1:] if len(sections) > 1 and not sections[0][1].strip() else sections


def _heading(text: str) -> str:
    return " ".join(re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", text).split())


def _links(path: str, lines: Iterable[str], files: Collection[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for hit in (hit for line in lines for hit in _LINK.finditer(line)):
        target = unquote(hit[1] or hit[2] or hit[3])
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        for candidate in (whole, f"{whole}.md", f"{whole}.rst"):
            if candidate in files and candidate != path:
                found.add(candidate)
                break
    return tuple(sorted(found))
