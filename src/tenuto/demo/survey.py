"""From the files of a repository to its facts: which matter most, and what is known of each.

Deterministic: equal files give equal facts, whatever the order they are given in.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tenuto.demo.areas import candidate_areas
from tenuto.demo.documents import Document, candidate_document_areas, read_document
from tenuto.demo.facts import FileFacts, RestFile, SkippedFile, Survey
from tenuto.demo.imports import links, module_names
from tenuto.demo.sentences import first_sentence, quotes
from tenuto.demo.source import PythonFile, read_python
from tenuto.demo.words import split_name, topic_words, words_of

__all__ = ["BYTES_READ_MAX", "FILES_READ_MAX", "SIZE_MAX", "is_surveyed", "survey"]

SIZE_MAX = 512 * 1024
"""Bytes of the largest file that is read."""

FILES_READ_MAX = 3_000
"""How many files are read at most; the shallowest first."""

BYTES_READ_MAX = 16 << 20
"""Bytes read at most, over all files: some 10 s of parsing."""

_REST_MAX, _SKIPPED_MAX, _NAMES_MAX = 200, 50, 200
_TEXT_SUFFIXES = (
    *(".md", ".rst", ".txt", ".adoc", ".org"),
    *(".js", ".mjs", ".ts", ".tsx", ".go", ".rs", ".c", ".h", ".cc", ".cpp", ".hpp", ".java", ".kt", ".rb", ".php"),
    *(".sh", ".pl", ".lua", ".swift", ".cs", ".scala", ".clj", ".ex", ".erl", ".hs", ".ml", ".r", ".sql", ".proto"),
)
_APART = frozenset(("node_modules", "site-packages", "__pycache__", "venv"))
_SUPPORT = frozenset(("doc", "docs", "example", "examples", "benchmark", "benchmarks", "bench", "script", "scripts"))
_ODD = re.compile(r"[`\x00-\x1f\x7f|<>\[\]\\]")


def is_surveyed(path: str) -> bool:
    """Whether a file can be of interest, by its path: hidden and installed ones are not."""
    parts = path.split("/")
    if any(part.startswith(".") or part in _APART for part in parts) or _ODD.search(path):
        return False
    name = parts[-1]
    return name.endswith(".py") or name == "pyproject.toml" or name.lower().endswith(_TEXT_SUFFIXES)


@dataclass
class _Reading:
    """What was read so far."""

    python: dict[str, PythonFile] = field(default_factory=dict)
    skipped: list[SkippedFile] = field(default_factory=list)


def survey(
    sources: Mapping[str, bytes], *, most: int, skipped: Iterable[SkippedFile] = (), apart: Collection[str] = ()
) -> Survey:
    """The facts of a repository; `most` files get an entry. `skipped`: files that were not even read.

    `apart` names files to leave out (an earlier index). Where there is no Python that parses, documents and other
    text files are surveyed instead. ValueError where there is nothing to survey.
    """
    reading = _Reading(skipped=list(skipped))
    paths = sorted(path for path in sources if path not in apart)
    for path in paths:
        if path.endswith(".py"):
            try:
                reading.python[path] = read_python(sources[path], package=path.endswith("__init__.py"))
            except ValueError as error:
                reading.skipped.append(SkippedFile(path=path, reason=str(error)))
    if reading.python:
        found = _python_survey(reading, most)
    else:
        found = _text_survey(
            {path: sources[path] for path in paths if not path.endswith((".py", ".toml"))}, reading, most
        )
    return msgspec.structs.replace(found, title=_title(sources.get("pyproject.toml", b"")))


def _python_survey(reading: _Reading, most: int) -> Survey:
    modules = {path: one for path, one in reading.python.items() if not _is_test(path)} or dict(reading.python)
    tests = {path: one for path, one in reading.python.items() if path not in modules}
    uses = links({path: one.imports for path, one in reading.python.items()})
    used_by = _reversed(uses)
    inside = {path: tuple(user for user in used_by[path] if user in modules) for path in modules}
    mentioned = {name for one in tests.values() for name in one.identifiers}
    words = topic_words({path: words_of(_prose(one), (*one.names, _stem(path))) for path, one in modules.items()})
    common = _common_words(modules)
    own = {name.split(".")[0] for name in module_names(reading.python)}
    chosen = sorted(
        (path for path, one in modules.items() if one.names or one.docstring),
        key=lambda path: (_is_support(path), -len(inside[path]), -modules[path].lines, path),
    )[:most]
    mentions = Counter(name for one in reading.python.values() for name in one.identifiers)
    files = tuple(
        _python_facts(
            path,
            _most_used(modules[path], mentions),
            uses=uses[path],
            used_by=inside[path],
            words=words[path],
            common=common,
            own=own,
            tested=sum(name in mentioned for name in modules[path].names) if tests else None,
        )
        for path in chosen
    )
    return _survey(
        "python",
        files,
        {path: one.lines for path, one in modules.items()},
        reading.skipped,
        tests=len(tests),
        lines=sum(one.lines for one in reading.python.values()),
    )


def _python_facts(
    path: str,
    one: PythonFile,
    *,
    common: Collection[str],
    own: Collection[str],
    uses: tuple[str, ...],
    used_by: tuple[str, ...],
    words: tuple[str, ...],
    tested: int | None,
) -> FileFacts:
    summary = first_sentence(one.docstring)
    return FileFacts(
        areas=candidate_areas(path, one.names, _outside(one, own), common=common),
        lines=one.lines,
        names=one.names[:_NAMES_MAX],
        path=path,
        quotes=() if summary else quotes(one.definitions),
        summary=summary,
        tested=tested,
        todos=one.todos,
        undocumented=one.undocumented,
        used_by=used_by,
        uses=uses,
        words=words,
    )


def _outside(one: PythonFile, own: Collection[str]) -> Iterator[str]:
    """Modules a file imports from elsewhere."""
    for entry in one.imports:
        top = entry.module.split(".")[0]
        if not entry.level and top not in own:
            yield top


def _common_words(modules: Mapping[str, PythonFile]) -> frozenset[str]:
    """Words in the path or names of over a third of the files: in an HTTP library, `http` tells nothing apart."""
    counts: Counter[str] = Counter()
    for path, one in modules.items():
        counts.update(
            {word for name in (*path.rsplit("/", 1)[0].split("/"), *one.names) for word in split_name(name)}
        )
    return frozenset(word for word, count in counts.items() if len(modules) >= 6 and 3 * count > len(modules))


def _stem(path: str) -> str:
    name = path.rsplit("/", 1)[-1].removesuffix(".py")
    return "" if name.startswith("__") else name


def _text_survey(sources: Mapping[str, bytes], reading: _Reading, most: int) -> Survey:
    documents: dict[str, Document] = {}
    for path, data in sources.items():
        try:
            documents[path] = read_document(path, data, sources)
        except ValueError as error:
            reading.skipped.append(SkippedFile(path=path, reason=str(error)))
    if not documents:
        raise ValueError("nothing to survey: no Python file that parses and no text file; give another --repo")
    used_by = _reversed({path: one.links for path, one in documents.items()})
    words = topic_words({path: words_of(one.text.split("\n\n"), one.names) for path, one in documents.items()})
    chosen = sorted(documents, key=lambda path: (-len(used_by[path]), path.count("/"), -documents[path].lines, path))
    files = tuple(
        FileFacts(
            areas=candidate_document_areas(path, one.names),
            lines=one.lines,
            names=one.names,
            path=path,
            quotes=() if one.summary else one.quotes,
            summary=one.summary,
            todos=one.todos,
            used_by=used_by[path],
            uses=one.links,
            words=words[path],
        )
        for path, one in ((path, documents[path]) for path in chosen[:most])
    )
    lines = {path: one.lines for path, one in documents.items()}
    return _survey("text", files, lines, reading.skipped, tests=0, lines=sum(lines.values()))


def _survey(
    kind: Literal["python", "text"],
    files: tuple[FileFacts, ...],
    modules: Mapping[str, int],
    skipped: list[SkippedFile],
    *,
    tests: int,
    lines: int,
) -> Survey:
    shown = {one.path for one in files}
    rest = [
        RestFile(lines=count, path=path) for path, count in sorted(modules.items()) if path not in shown and count
    ]
    return Survey(
        files=files,
        kind=kind,
        lines=lines,
        modules=len(modules),
        rest=tuple(rest[:_REST_MAX]),
        rest_left_out=max(0, len(rest) - _REST_MAX),
        skipped=tuple(sorted(skipped, key=lambda one: one.path)[:_SKIPPED_MAX]),
        tests=tests,
    )


def _reversed(uses: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    users: dict[str, list[str]] = {path: [] for path in uses}
    for path, targets in uses.items():
        for target in targets:
            users[target].append(path)
    return {path: tuple(sorted(found)) for path, found in users.items()}


def _prose(one: PythonFile) -> tuple[str, ...]:
    return one.docstring, *(definition.docstring for definition in one.definitions)


def _most_used(one: PythonFile, mentions: Mapping[str, int]) -> PythonFile:
    """With the names that most files mention first, and of its definitions (no methods) the weightiest first."""
    lines = {definition.name: definition.lines for definition in one.definitions}
    top = [definition for definition in one.definitions if "." not in definition.name]
    return dataclasses.replace(
        one,
        definitions=tuple(sorted(top, key=lambda top: (-(1 + mentions[top.name]) * top.lines, top.name))),
        names=tuple(sorted(one.names, key=lambda name: (-mentions[name], -lines.get(name, 0)))),
    )


def _is_test(path: str) -> bool:
    *directories, name = path.split("/")
    return (
        any(directory in ("test", "tests") for directory in directories)
        or name.startswith("test_")
        or name in ("conftest.py", "tests.py", "test.py")
        or name.endswith("_test.py")
    )


def _is_support(path: str) -> bool:
    """Whether a file serves the project rather than its users (`setup.py`, `docs/conf.py`)."""
    *directories, name = path.split("/")
    return not _SUPPORT.isdisjoint(directories) or (
        not directories and name in ("setup.py", "noxfile.py", "tasks.py")
    )


def _title(pyproject: bytes) -> str:
    try:
        name = tomllib.loads(pyproject.decode("utf-8")).get("project", {}).get("name", "")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        return ""
    return name if isinstance(name, str) and not _ODD.search(name) else ""
