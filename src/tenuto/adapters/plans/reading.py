"""How tables of keys read a file's values: one table says what is accepted, and gives the JSON Schema for editors.

A `Kind` reads one value; a `Shape` is a kind that reads an object by its table of `Field`s. Problems are collected,
so that one look at a file shows all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenuto.adapters.plans.yaml_document import Document, KeyPath, written
from tenuto.core.problems import PROBLEMS_MAX, Problem, did_you_mean, refuse, shorten

__all__ = ["UNREAD", "Field", "Kind", "Reading", "Shape", "Unreadable", "described"]


class _Unread:
    """Stands for a value that could not be read; its problem is noted."""


UNREAD = _Unread()


class Unreadable(Exception):  # noqa: N818 - no error anyone sees: it carries a problem to the reader of the field
    """A value is not of its kind. `place` is set where the trouble is in another file."""

    def __init__(self, what: str, fix: str, *, place: str = "") -> None:
        super().__init__(what)
        self.problem = (what, fix, place)


@dataclass(slots=True)
class Reading:
    """One file being read: its document, its directory, and what was found so far.

    `sources` maps a part of the plan to the file (relative to `directory`) that holds its text. A `closed` document
    names no files: a plan that a model wrote reads nothing.
    """

    document: Document
    directory: Path
    closed: bool = False
    prefix: str = ""
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)

    def note(self, path: KeyPath, what: str, fix: str, *, key: bool = False, place: str = "") -> None:
        shown = self.prefix + written(path)
        self.problems.append(Problem(shown, what, fix, place or self.document.place(path, key=key)))

    def take(self, kind: Kind | Shape, value: Any, path: KeyPath) -> Any:
        """Read a part, or note its problem and give UNREAD."""
        try:
            return kind.read(self, value, path)
        except Unreadable as error:
            what, fix, place = error.problem
            self.note(path, what, fix, place=place)
            return UNREAD

    def finish(self) -> None:
        """Raise InvalidPlanError if there were problems."""
        refuse(self.problems[:PROBLEMS_MAX], {})


@dataclass(frozen=True, slots=True)
class Kind:
    """`read(reading, value, path)` gives the typed value or raises Unreadable; `schema` is its JSON Schema."""

    read: Callable[[Reading, Any, KeyPath], Any]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One key of an object. `about` is shown by editors."""

    name: str
    kind: Kind | Shape
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """An object by its keys. `build(values, path)` makes the typed value from those that are there.

    `later` lists keys that a later version takes: they are refused by name. `check` sees the raw object first and
    yields problems that concern several keys.
    """

    what: str
    fields: tuple[Field, ...]
    build: Callable[[dict[str, Any], KeyPath], Any]
    later: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], list[tuple[str, str, str]]] | None = None
    extra_schema: Mapping[str, Any] = field(default_factory=dict)

    def read(self, reading: Reading, value: Any, path: KeyPath) -> Any:
        if not isinstance(value, dict):
            raise Unreadable(
                f"{self.what} is an object, not {described(value)}", f"write keys such as {self._some()}"
            )
        before = len(reading.problems)
        known = {field.name: field for field in self.fields}
        values: dict[str, Any] = {}
        for key, item in value.items():
            if key in known:
                values[key] = reading.take(known[key].kind, item, (*path, key))
            elif key in self.later:
                reading.note((*path, key), "this key is not in this version", "remove it", key=True)
            else:
                fix = did_you_mean(key, known)
                reading.note((*path, key), f"{self.what} has no key {shorten(key)}", fix, key=True)
        for missing in (f.name for f in self.fields if f.required and f.name not in value):
            reading.note(path, f"the key {missing} is missing", f"add {missing}:", key=True)
        for key, what, fix in self.check(value) if self.check is not None else ():
            reading.note((*path, key) if key else path, what, fix, key=True)
        return UNREAD if len(reading.problems) > before else self.build(values, path)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the object: exactly the keys of the table."""
        schema: dict[str, Any] = {"type": "object", "additionalProperties": False}
        schema["properties"] = {f.name: {**f.kind.schema, "description": f.about} for f in self.fields}
        required = [f.name for f in self.fields if f.required]
        if required:
            schema["required"] = required
        return schema | dict(self.extra_schema)

    def _some(self) -> str:
        return ", ".join(f"{f.name}:" for f in self.fields[:3])


def described(value: Any) -> str:
    """A value as messages call it."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case str():
            return f"the text {shorten(value)!r}"
        case int() if abs(value) < 10**15:
            return f"the number {value}"
        case float() | int():
            return "a number" if isinstance(value, int) else f"the number {value}"
        case list():
            return "a list"
        case _:
            return "an object"
