"""Reading YAML that comes from outside: bounded, exact, and with the place of every key and value.

The rules are those of YAML 1.2 with its core schema (`no` is a word, `0o17` is octal, a date is a string). Anchors,
aliases and tags are refused, and so is what has no place in a JSON value. Whatever the bytes are, the answer is a
document or one InvalidPlanError with one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tenuto.adapters.plans.text import Mark, decode
from tenuto.core.canonical import DIGITS_MAX
from tenuto.core.problems import shorten
from tenuto.errors import InvalidPlanError

__all__ = ["DEPTH_MAX", "NODES_MAX", "Document", "KeyPath", "read_yaml", "written"]

DEPTH_MAX = 64
"""Nesting of the deepest value."""
NODES_MAX = 200_000
"""Values in one file."""

KeyPath = tuple[str | int, ...]

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A value and where its parts stand: `keys` for each key of an object, `values` for each value and item."""

    file: str
    value: Any
    keys: Mapping[KeyPath, Mark] = field(repr=False)
    values: Mapping[KeyPath, Mark] = field(repr=False)

    def place(self, path: KeyPath, *, key: bool = False) -> str:
        """`file:line:col` of the value at `path` (or of its key), else of the nearest part around it."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        while path and path not in first and path not in second:
            path = path[:-1]
        mark = first.get(path) or second.get(path) or Mark(1, 1)
        return f"{self.file}:{mark.line}:{mark.column}"


def written(path: Iterable[str | int]) -> str:
    """A path as messages show it: `steps.fix.needs[0]`."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        elif _PLAIN_NAME.match(part):
            out += f".{part}" if out else part
        else:
            out += f'["{shorten(part)}"]'
    return out


def read_yaml(data: bytes, file: str, *, first_line: int = 1) -> Document:
    """Read one YAML document. `file` names it in messages; its first line counts as `first_line`.

    Raises InvalidPlanError and nothing else.
    """
    text = decode(data, file, first_line=first_line)
    composer = _Composer(file, first_line)
    _feed(composer, text)
    if not composer.complete:
        where = f"{file}:{first_line}:1"
        raise InvalidPlanError("the file is empty", where=where, fix="write at least one key, such as steps:")
    return Document(file, composer.root, composer.keys, composer.values)


def _feed(composer: _Composer, text: str) -> None:
    import yaml  # 15 ms that `--help` need not pay

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        composer.refuse_syntax(text, mark, error.problem or "cannot be read")
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The readers' own checks of characters and escapes (a code point beyond Unicode) come without a mark.
        composer.refuse_syntax(text, None, str(error))


@dataclass(slots=True)
class _Frame:
    """An object or list under construction. `key` is the key whose value comes next."""

    container: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None


class _Composer:
    """Builds the value from parser events, with an explicit stack: nesting costs no recursion."""

    def __init__(self, file: str, first_line: int) -> None:
        self.complete = False
        self.root: Any = None
        self.keys: dict[KeyPath, Mark] = {}
        self.values: dict[KeyPath, Mark] = {}
        self._file = file
        self._first_line = first_line
        self._stack: list[_Frame] = []
        self._nodes = 0

    def take(self, event: Any) -> None:
        match type(event).__name__:
            case "ScalarEvent":
                self._check(event)
                self._scalar(event)
            case "MappingStartEvent":
                self._check(event)
                self._open({}, event)
            case "SequenceStartEvent":
                self._check(event)
                self._open([], event)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._stack.pop()
                self.complete = self.complete or not self._stack
            case "DocumentStartEvent":
                self._start_document(event)
            case "AliasEvent":
                self._refuse(event, f"the alias *{shorten(event.anchor)} is not allowed", "write the value out")
            case _:
                pass

    def refuse_syntax(self, text: str, mark: Any, problem: str) -> NoReturn:
        lines = text.splitlines() or [""]
        at = Mark(self._first_line, 1) if mark is None else self._mark(mark)
        line = lines[min(at.line - self._first_line, len(lines) - 1)]
        if "\t" in line[: len(line) - len(line.lstrip())]:
            what, fix = "a tab indents this line", "indent with spaces"
        else:
            what, fix = f"this cannot be read as YAML: {shorten(' '.join(problem.split()))}", _advice(line, problem)
        raise InvalidPlanError(what, where=self._where(at), fix=fix)

    def _start_document(self, event: Any) -> None:
        if self.complete:
            self._refuse(event, "a second document starts here", "keep one document in the file and drop the ---")
        if event.version is not None and tuple(event.version) != (1, 2):
            version = ".".join(map(str, event.version))
            raise InvalidPlanError(
                f"the file asks for YAML {version}",
                where=self._where(Mark(self._first_line, 1)),
                fix="drop the %YAML line: files are read as YAML 1.2",
            )

    def _check(self, event: Any) -> None:
        if event.anchor is not None:
            self._refuse(event, f"the anchor &{shorten(event.anchor)} is not allowed", "write the value out")
        if event.tag is not None:
            self._refuse(event, f"the tag {shorten(event.tag)} is not allowed", "write a plain value")
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._refuse(event, f"the file holds more than {NODES_MAX} values", "split it")

    def _open(self, container: dict[str, Any] | list[Any], event: Any) -> None:
        if self._stack and isinstance(self._stack[-1].container, dict) and self._stack[-1].key is None:
            self._refuse(event, "a key is not a string", "write a plain word or a quoted string before the colon")
        if len(self._stack) >= DEPTH_MAX:
            self._refuse(event, f"values are nested more than {DEPTH_MAX} deep", "make the value flatter")
        path = self._add(container, self._mark(event.start_mark))
        self._stack.append(_Frame(container, path))

    def _scalar(self, event: Any) -> None:
        plain = event.style is None or event.style == ""
        value: Any = event.value
        if _UNSTORABLE.search(value):
            self._refuse(event, "a string holds NUL or half of a surrogate pair", "leave the character out")
        if plain:
            value = self._resolve(event, value)
        frame = self._stack[-1] if self._stack else None
        if frame is None or isinstance(frame.container, list) or frame.key is not None:
            self._add(value, self._mark(event.start_mark))
            self.complete = self.complete or not self._stack
            return
        if not isinstance(value, str):
            shown = shorten(event.value) or "(empty)"
            self._refuse(event, f"the key {shown} is not a string", "put it in quotes")
        if value in frame.container:
            first = self.keys[(*frame.path, value)]
            what = f"the key {shorten(value)} is written twice, first in line {first.line}"
            self._refuse(event, what, "keep one of the two")
        frame.key = value
        self.keys[(*frame.path, value)] = self._mark(event.start_mark)

    def _add(self, value: Any, mark: Mark) -> KeyPath:
        if not self._stack:
            self.root = value
            self.values[()] = mark
            return ()
        frame = self._stack[-1]
        path: KeyPath
        if isinstance(frame.container, list):
            path = (*frame.path, len(frame.container))
            frame.container.append(value)
        else:
            assert frame.key is not None, "a value of an object comes after its key"
            path = (*frame.path, frame.key)
            frame.container[frame.key] = value
            frame.key = None
        self.values[path] = mark
        return path

    def _resolve(self, event: Any, text: str) -> Any:
        """The value of a plain scalar by the core schema of YAML 1.2."""
        if text in _NULL:
            return None
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        if text[0] not in "+-.0123456789":
            return text
        if _INTEGER.match(text):
            digits = text.lstrip("+-").lstrip("0") or "0"
            if len(digits) > DIGITS_MAX:
                self._refuse(event, f"an integer has more than {DIGITS_MAX} digits", "put it in quotes")
            return -int(digits) if text[0] == "-" else int(digits)
        if _OTHER_BASE.match(text):
            if len(text) > DIGITS_MAX // 2:
                self._refuse(event, f"an integer has more than {DIGITS_MAX // 2} digits", "put it in quotes")
            return int(text[2:], 8 if text[1] == "o" else 16)
        if _NOT_FINITE.match(text):
            self._refuse(event, f"{text} is not a number in JSON", "write a finite number, or put it in quotes")
        if _FLOAT.match(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                self._refuse(event, "the number is too large", "put it in quotes")
            return number
        return text

    def _refuse(self, event: Any, what: str, fix: str) -> NoReturn:
        raise InvalidPlanError(what, where=self._where(self._mark(event.start_mark)), fix=fix)

    def _mark(self, mark: Any) -> Mark:
        return Mark(mark.line + self._first_line, mark.column + 1)

    def _where(self, mark: Mark) -> str:
        return f"{self._file}:{mark.line}:{mark.column}"


def _advice(line: str, problem: str) -> str:
    if "${{" in line:
        return 'put ${{ }} in quotes: "${{ ... }}"'
    if "mapping values are not allowed" in problem:
        return "put a text that holds a colon in quotes"
    if "found unexpected end of stream" in problem or "quoted scalar" in problem:
        return "close the quote"
    if "cannot start any token" in problem:
        return "put a text that starts with a special character in quotes"
    return "mind the indentation, the colons and the brackets here and in the line before"
