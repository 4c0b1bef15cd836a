"""The page: the surveyed facts and the model's choices among them, as Markdown.

Everything in a code span is a path of the repository, or, on a line that begins with `- Defines:`, `- Sections:`
or `- Gaps:`, a name that stands in the file of the entry. `check` holds the page to that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec

from tenuto.demo.areas import AREAS
from tenuto.demo.documents import DOCUMENT_AREAS
from tenuto.demo.facts import FileFacts, Kind, Survey

__all__ = ["MARK", "Choices", "by_area", "render"]

MARK = "<!-- an index of modules, made by tenuto demo -->"
"""The first line of every page: a file with this line may be replaced by the next one."""

_NAMES_MAX, _PATHS_MAX, _GAPS_MAX, _TODOS_MAX, _OPEN_MAX = 12, 8, 4, 20, 12
_SPECIAL = re.compile(r"([\\*_\[\]<>|#`~])")


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the model chose, by path (`first`: by area). Where it was not asked, or failed, there is no entry."""

    areas: dict[str, str] = {}
    first: dict[str, str] = {}
    quotes: dict[str, str] = {}
    topics: dict[str, str] = {}


def by_area(survey: Survey, chosen: dict[str, str]) -> dict[str, tuple[FileFacts, ...]]:
    """The files of each area that has any, in the order of the page; a file without choice takes its best area."""
    order = AREAS if survey.kind == "python" else DOCUMENT_AREAS
    found: dict[str, list[FileFacts]] = {area: [] for area in order}
    for one in survey.files:
        found[_area(one, chosen)].append(one)
    return {area: tuple(files) for area, files in found.items() if files}


def render(survey: Survey, choices: Choices) -> str:
    """The whole page. Equal facts and choices give equal bytes."""
    areas = by_area(survey, choices.areas)
    lines = [MARK, "", f"# {'Modules' if survey.kind == 'python' else 'Files'} of {_title(survey)}", "", _how(survey)]
    lines += ["", "| area | files | lines | read first |", "| --- | ---: | ---: | --- |"]
    for area, files in areas.items():
        first = choices.first.get(area)
        shown = f"~ {_link(first)}" if first else _link(files[0].path)
        total = sum(one.lines for one in files)
        lines.append(f"| [{area}](#{area.replace(' ', '-')}) | {len(files)} | {total:,} | {shown} |")
    for area, files in areas.items():
        lines += ["", f"## {area}"]
        for one in files:
            lines += ["", *_entry(one, choices, survey.kind)]
    lines += _open_ends(survey)
    lines += _others(survey)
    return "\n".join(lines) + "\n"


def _area(one: FileFacts, chosen: dict[str, str]) -> str:
    area = chosen.get(one.path, "")
    return area if area in one.areas else one.areas[0]


def _title(survey: Survey) -> str:
    return _plain(survey.title) or "this repository"


def _how(survey: Survey) -> str:
    what = "Python modules" if survey.kind == "python" else "text files"
    tests = f"; {_count(survey.tests, 'test file')} read, not listed" if survey.tests else ""
    unread = f"; {_count(survey.unread, 'file')} beyond the limits of a demo" if survey.unread else ""
    everything = f"{survey.lines:,} lines in all{tests}{unread}"
    shown = f"All {survey.modules} {what} ({everything})"
    if len(survey.files) < survey.modules:
        shown = f"The {len(survey.files)} most used of {survey.modules} {what} ({everything})"
    return (
        f"{shown}. Tools took every path, name, number and sentence from the sources. A model chose only "
        "what is marked ~, and only among those facts: a topic word, the sentence that sums up a file without a "
        "docstring of its own, the area where the evidence is mixed, and the file to read first. A choice can be "
        "poor; it cannot be made up."
    )


def _entry(one: FileFacts, choices: Choices, kind: Kind) -> list[str]:
    lines = [f"### {_link(one.path)}", "", _figures(one, choices, kind)]
    summary = _summary(one, choices)
    if summary:
        lines += ["", summary]
    lists = []
    if one.names:
        lists.append(f"- {'Defines' if kind == 'python' else 'Sections'}: {_codes(one.names, _NAMES_MAX)}")
    if one.uses:
        lists.append(f"- {'Uses' if kind == 'python' else 'Links to'}: {_codes(one.uses, _PATHS_MAX)}")
    if one.used_by:
        lists.append(f"- {'Used by' if kind == 'python' else 'Linked from'}: {_codes(one.used_by, _PATHS_MAX)}")
    gaps = _gaps(one)
    if gaps:
        lists.append(f"- Gaps: {'; '.join(gaps)}")
    return [*lines, *(["", *lists] if lists else [])]


def _figures(one: FileFacts, choices: Choices, kind: Kind) -> str:
    topic = choices.topics.get(one.path, "")
    others = [word for word in one.words if word != topic][:3]
    figures = [f"~**{_plain(topic)}**"] if topic in one.words else []
    if others:
        figures.append(", ".join(_plain(word) for word in others))
    if len(one.areas) > 1 and choices.areas.get(one.path) in one.areas:
        figures.append(f"area ~{choices.areas[one.path]}")
    figures.append(_count(one.lines, "line"))
    users = len(one.used_by)
    figures.append(f"{'used by' if kind == 'python' else 'linked from'} {users}")
    if one.tested is not None and one.names:
        figures.append(f"{one.tested} of {len(one.names)} names in tests")
    return " · ".join(figures)


def _summary(one: FileFacts, choices: Choices) -> str:
    if one.summary:
        return _plain(one.summary)
    chosen = choices.quotes.get(one.path)
    for candidate in one.quotes:
        if candidate.text == chosen or len(one.quotes) == 1:
            owner = f"{_plain(candidate.name)}: " if candidate.name else ""
            return f"{'~ ' if len(one.quotes) > 1 else ''}*{owner}{_plain(candidate.text)}*"
    return ""


def _gaps(one: FileFacts) -> list[str]:
    gaps = []
    if one.undocumented:
        gaps.append(f"{len(one.undocumented)} without docstring ({_codes(one.undocumented, _GAPS_MAX)})")
    if one.todos:
        gaps.append(f"{_count(len(one.todos), 'TODO')}")
    if one.tested == 0 and one.names:
        gaps.append("no name of it in tests")
    return gaps


def _open_ends(survey: Survey) -> list[str]:
    """What a maintainer may want to look at, over all entries."""
    todos = [
        f"- [`{one.path}`]({_target(one.path)}#L{todo.line}) line {todo.line}: {_plain(todo.text)}"
        for one in survey.files
        for todo in one.todos
    ]
    bare = sorted(
        (one for one in survey.files if one.undocumented), key=lambda one: (-len(one.undocumented), one.path)
    )
    lines: list[str] = []
    if bare:
        counted = ", ".join(f"{_link(one.path)} ({len(one.undocumented)})" for one in bare[:5])
        lines += ["", f"Most without docstring: {counted}."]
    if todos:
        lines += ["", "Marked in the source:", "", *todos[:_TODOS_MAX]]
        lines += [f"- and {len(todos) - _TODOS_MAX} more"] if len(todos) > _TODOS_MAX else []
    if survey.skipped:
        unread = [f"- `{one.path}`: {_plain(one.reason)}" for one in survey.skipped[:_OPEN_MAX]]
        lines += ["", "Not read:", "", *unread]
        lines += [f"- and {len(survey.skipped) - _OPEN_MAX} more"] if len(survey.skipped) > _OPEN_MAX else []
    return ["", "## Open ends", *lines] if lines else []


def _others(survey: Survey) -> list[str]:
    if not survey.rest:
        return []
    listed = ", ".join(f"`{one.path}` ({one.lines:,})" for one in survey.rest)
    more = f" and {survey.rest_left_out} more" if survey.rest_left_out else ""
    return ["", "## Without an entry", "", f"{listed}{more}. In brackets: lines."]


def _codes(texts: Sequence[str], most: int) -> str:
    shown = ", ".join(f"`{text}`" for text in _fit(texts[:most]))
    return f"{shown} and {len(texts) - most} more" if len(texts) > most else shown


def _fit(texts: Iterable[str]) -> Iterable[str]:
    return (text.replace("`", "'") for text in texts)


def _link(path: str) -> str:
    return f"[`{path}`]({_target(path)})"


def _target(path: str) -> str:
    return quote(path, safe="/")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
