"""What the survey knows of a repository, as values. They travel between steps as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["FileFacts", "Mention", "Quote", "RestFile", "SkippedFile", "Survey"]

Kind = Literal["python", "text"]


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """A comment that asks for work (`TODO`, `FIXME`), by its line, counted from 1."""

    line: int
    text: str


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of the file, and the name whose docstring (or the heading whose text) it begins."""

    name: str
    text: str


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one file.

    `names`: public names, the most mentioned first (for text: headings in their order). `uses` and `used_by`:
    other modules of this repository, by path; tests do not count as users. `tested`: how many of `names` appear
    in the tests, or None where there are no tests to ask. `summary`: the first sentence of the module's
    docstring, or empty. `words`, `quotes`, `areas`: candidates, best first.
    """

    areas: tuple[str, ...] = ()
    lines: int
    names: tuple[str, ...] = ()
    path: str
    quotes: tuple[Quote, ...] = ()
    summary: str = ""
    tested: int | None = None
    todos: tuple[Mention, ...] = ()
    undocumented: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class RestFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was surveyed but has no entry of its own."""

    lines: int
    path: str


class SkippedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be surveyed, and why."""

    path: str
    reason: str


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """A surveyed repository: the files worth an entry first, the others by name.

    `kind` is `text` where the repository has no Python. `modules`, `tests` and `lines` count everything that was
    read, `unread` the files beyond the limits; `title` is the project's declared name, or empty.
    """

    files: tuple[FileFacts, ...]
    kind: Kind
    lines: int
    modules: int
    rest: tuple[RestFile, ...] = ()
    rest_left_out: int = 0
    skipped: tuple[SkippedFile, ...] = ()
    tests: int = 0
    title: str = ""
    unread: int = 0
