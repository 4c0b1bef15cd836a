"""Expressions in `${{ }}`: plain paths into inputs, steps and items, compiled once and rendered often.

    inputs.issue    steps.triage.output.files[0].name    steps.a.output["odd key"]    item    key    with.goal

`$${{` stands for a literal `${{`. Pure: what a path means is looked up in the scope the caller hands in, never
anywhere else. Whatever is no plain path (operators, calls) is refused when a template is parsed, not when it runs.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn

from tenuto.core.canonical import DEPTH_MAX, canonical

__all__ = [
    "PATH_DEPTH_MAX",
    "RENDERED_MAX",
    "ROOTS",
    "STEP_FIELDS",
    "TEMPLATE_MAX",
    "ExpressionError",
    "Reference",
    "Template",
    "parse_text",
    "parse_value",
    "path_text",
]

PATH_DEPTH_MAX = 32
"""Parts of the longest path, its root not counted."""
TEMPLATE_MAX = 1 << 20
"""Characters of the longest string that may hold expressions."""
RENDERED_MAX = 64 << 20
"""Characters of the longest text a template renders to: a short template may repeat a long value."""
ROOTS = ("inputs", "steps", "item", "key", "with")
STEP_FIELDS = ("output", "status", "error")
"""What may be asked of a step: `steps.NAME.FIELD`."""

_OPEN = "${{"
_CLOSE = "}}"
_SHOWN_MAX = 60
_NAMES_MAX = 8
_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INDEX = re.compile(r"\[[ \t]*(0|[1-9][0-9]{0,8})[ \t]*\]")
_KEY = re.compile(r"""\[[ \t]*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')[ \t]*\]""")

Scope = Mapping[str, Any]
Part = str | int


class ExpressionError(ValueError):
    """An expression cannot be read, or points at nothing. The message is one line: what; how to fix it.

    `offset` is the place in the string that holds the expression, `within` the path of that string in its value.
    """

    def __init__(self, message: str, *, offset: int = 0, within: tuple[Part, ...] = ()) -> None:
        super().__init__(message)
        self.offset = offset
        self.within = within


@dataclass(frozen=True, slots=True)
class Reference:
    """One path: where it starts (`root`), where it leads (`parts`), and where it is written.

    `offset` is the place of its `${{` in the string that holds it; `within` is the path of that string in the
    value it is part of (empty for a text).
    """

    root: str
    parts: tuple[Part, ...]
    offset: int
    within: tuple[Part, ...] = ()

    @property
    def step(self) -> str | None:
        """The name of the step it reads, if it reads one."""
        return str(self.parts[0]) if self.root == "steps" else None

    def __str__(self) -> str:
        return path_text(self.root, self.parts)

    def resolve(self, scope: Scope) -> Any:
        """What the path leads to. Raises ExpressionError naming how far it led and what is there."""
        try:
            value = scope[self.root]
        except KeyError:
            self._fail(f"there is no {self.root} here", f"use one of: {_listed(scope)}")
        for depth, part in enumerate(self.parts):
            try:
                if isinstance(part, str):
                    if type(value) is dict or isinstance(value, Mapping):
                        value = value[part]
                        continue
                elif isinstance(value, (list, tuple)):
                    value = value[part]
                    continue
            except (KeyError, IndexError):
                pass
            self._miss(value, depth)
        return value

    def _miss(self, value: Any, depth: int) -> NoReturn:
        held = path_text(self.root, self.parts[:depth])
        part = self.parts[depth]
        if isinstance(value, Mapping):
            if type(part) is int:
                self._fail(
                    f"{held} is an object, not a list", f'write ["{part}"] for a key; it has: {_listed(value)}'
                )
            self._fail(f"{held} has no key {_quoted(str(part))}", f"it has: {_listed(value)}")
        if isinstance(value, (list, tuple)):
            if type(part) is int:
                count = f"{len(value)} item{'' if len(value) == 1 else 's'}"
                self._fail(f"{held} has no item {part}", f"it has {count}, counted from 0")
            self._fail(f"{held} is a list and has no key {_quoted(str(part))}", f"write {held}[0] for an item")
        self._fail(f"{held} is {_kind(value)}, so nothing stands below it", f"end the path at {held}")

    def _fail(self, what: str, fix: str) -> NoReturn:
        raise ExpressionError(f"${{{{ {_cut(str(self))} }}}}: {what}; {fix}", offset=self.offset, within=self.within)


@dataclass(frozen=True, slots=True)
class _Text:
    """A string with expressions in it: literal text and references in turn."""

    parts: tuple[str | Reference, ...]

    def render(self, scope: Scope) -> str:
        out: list[str] = []
        length = 0
        for part in self.parts:
            text = part if isinstance(part, str) else _shown(part, scope)
            length += len(text)
            if length > RENDERED_MAX:
                raise ExpressionError(f"the text grows over {RENDERED_MAX} characters; insert shorter values")
            out.append(text)
        return "".join(out)


@dataclass(frozen=True, slots=True)
class _Items:
    """A list of which at least one item holds expressions."""

    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Object:
    """An object of which at least one value holds expressions."""

    items: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. Immutable; `references` are in the order in which they are written.

    What `evaluate` returns may share parts with the template and the scope: treat it as read-only.
    """

    references: tuple[Reference, ...]
    _program: Any

    @property
    def constant(self) -> bool:
        """Whether it holds no expression, so that it gives the same for every scope."""
        return not self.references

    def render(self, scope: Scope) -> str:
        """The text: strings are inserted as they are, other values as canonical JSON.

        Raises ExpressionError where a path leads nowhere, TypeError for a template of `parse_value`
        that does not yield a string.
        """
        result = _run(self._program, scope)
        if type(result) is not str:
            raise TypeError("only a template made by parse_text renders to text")
        return result

    def evaluate(self, scope: Scope) -> Any:
        """The value, typed. Raises ExpressionError where a path leads nowhere."""
        return _run(self._program, scope)


def parse_text(text: str) -> Template:
    """Compile a text; it always renders to a string. Raises ExpressionError."""
    if _OPEN not in text:
        return Template((), text)
    parts = tuple(_split(text, ()))
    if all(type(part) is str for part in parts):
        return Template((), "".join(map(str, parts)))
    return Template(tuple(p for p in parts if isinstance(p, Reference)), _Text(parts))


def parse_value(value: Any) -> Template:
    """Compile a JSON value whose strings, at any depth, may hold expressions; keys are taken as written.

    A string that is exactly one expression yields what the path leads to, with its type. Raises ExpressionError.
    """
    references: list[Reference] = []
    program = _compile(value, (), references)
    return Template(tuple(references), program)


def path_text(root: str, parts: Iterable[Part]) -> str:
    """A path as it is written: `steps.a.output["odd key"][0]`."""
    out = [root]
    for part in parts:
        if type(part) is int:
            out.append(f"[{part}]")
        elif _NAME.fullmatch(str(part)):
            out.append(f".{part}")
        else:
            out.append(f"[{_quoted(str(part))}]")
    return "".join(out)


def _run(program: Any, scope: Scope) -> Any:
    if isinstance(program, Reference):
        return program.resolve(scope)
    if isinstance(program, _Text):
        return program.render(scope)
    if isinstance(program, _Object):
        return {key: _run(item, scope) for key, item in program.items}
    if isinstance(program, _Items):
        return [_run(item, scope) for item in program.items]
    return program


def _compile(value: Any, within: tuple[Part, ...], references: list[Reference]) -> Any:
    """The program of a value; a part without expressions is its own program. Adds to `references`."""
    if isinstance(value, str):
        return _compile_string(value, within, references)
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if len(within) >= DEPTH_MAX:
        raise ExpressionError(f"the value is nested more than {DEPTH_MAX} deep; make it flatter", within=within)
    before = len(references)
    if isinstance(value, Mapping):
        pairs = tuple((key, _compile(item, (*within, key), references)) for key, item in value.items())
        same = all(new is value[key] for key, new in pairs)
        return value if same and len(references) == before else _Object(pairs)
    items = tuple(_compile(item, (*within, i), references) for i, item in enumerate(value))
    same = all(new is old for new, old in zip(items, value, strict=True))
    return value if same and len(references) == before else _Items(items)


def _compile_string(text: str, within: tuple[Part, ...], references: list[Reference]) -> Any:
    if _OPEN not in text:
        return text
    parts = tuple(_split(text, within))
    found = [part for part in parts if isinstance(part, Reference)]
    references.extend(found)
    if not found:
        return "".join(map(str, parts))
    return parts[0] if len(parts) == 1 else _Text(parts)


def _split(text: str, within: tuple[Part, ...]) -> Iterator[str | Reference]:
    """Literal text and references in turn, without empty literals."""
    if len(text) > TEMPLATE_MAX:
        raise ExpressionError(f"the text is longer than {TEMPLATE_MAX} characters; make it shorter", within=within)
    done = 0
    while (at := text.find(_OPEN, done)) >= 0:
        if at > done and text[at - 1] == "$":
            yield text[done : at - 1] + _OPEN
            done = at + len(_OPEN)
            continue
        if at > done:
            yield text[done:at]
        reference, done = _Reader(text, at, within).read()
        yield reference
    if done < len(text):
        yield text[done:]


class _Reader:
    """Reads one expression that starts at `start`."""

    def __init__(self, text: str, start: int, within: tuple[Part, ...]) -> None:
        self._text = text
        self._start = start
        self._within = within

    def read(self) -> tuple[Reference, int]:
        text = self._text
        at = self._skip(self._start + len(_OPEN))
        root, at = self._root(at)
        parts: list[Part] = []
        while (found := self._part(at)) is not None:
            part, at = found
            parts.append(part)
            if len(parts) > PATH_DEPTH_MAX:
                self._refuse(f"the path has more than {PATH_DEPTH_MAX} parts", "make it shorter")
        at = self._skip(at)
        if not text.startswith(_CLOSE, at):
            self._refuse_rest()
        reference = Reference(root, tuple(parts), self._start, self._within)
        if root == "steps":
            self._check_step(parts)
        return reference, at + len(_CLOSE)

    def _root(self, at: int) -> tuple[str, int]:
        if self._text.startswith(_CLOSE, at):
            self._refuse("there is nothing in it", f"write a path that starts with one of: {', '.join(ROOTS)}")
        match = _NAME.match(self._text, at)
        if match is None:
            self._refuse_rest()
        if match[0] not in ROOTS:
            after = self._skip(match.end())
            if self._text.startswith((_CLOSE, ".", "["), after):
                self._refuse(f"{_cut(match[0])} is unknown", f"a path starts with one of: {', '.join(ROOTS)}")
            self._refuse_rest()
        return match[0], match.end()

    def _part(self, at: int) -> tuple[Part, int] | None:
        if self._text.startswith(".", at):
            match = _NAME.match(self._text, at + 1)
            if match is None:
                self._refuse("a name is missing after the dot", 'write .name, [0] or ["odd key"]')
            return match[0], match.end()
        if not self._text.startswith("[", at):
            return None
        if (match := _INDEX.match(self._text, at)) is not None:
            return int(match[1]), match.end()
        if (match := _KEY.match(self._text, at)) is not None:
            return self._key(match[1]), match.end()
        return self._refuse("what stands in [ ] is neither an index nor a quoted key", 'write [0] or ["odd key"]')

    def _key(self, quoted: str) -> str:
        if quoted[0] == "'":
            return re.sub(r"\\(['\\])", r"\1", quoted[1:-1])
        try:
            key = json.loads(quoted)
        except ValueError:
            self._refuse(f"the key {_cut(quoted)} is not a JSON string", "mind its backslashes")
        return str(key)

    def _check_step(self, parts: list[Part]) -> None:
        if not parts or type(parts[0]) is int:
            self._refuse("the step's name is missing", "write steps.NAME.output")
        if len(parts) == 1 or parts[1] not in STEP_FIELDS:
            name = path_text("steps", parts[:1])
            self._refuse(f"{name} must be followed by one of: {', '.join(STEP_FIELDS)}", f"write {name}.output")

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match is not None else at

    def _refuse_rest(self) -> NoReturn:
        if self._text.find(_CLOSE, self._start) < 0:
            self._refuse("it is not closed", "end it with }}, or write $${{ for a literal ${{")
        self._refuse("only plain paths for now", "write a path such as inputs.name or steps.NAME.output")

    def _refuse(self, what: str, fix: str) -> NoReturn:
        begin = self._start + len(_OPEN)
        end = self._text.find(_CLOSE, begin)
        shown = self._text[begin : min(end, begin + 4 * _SHOWN_MAX) if end >= 0 else begin + 4 * _SHOWN_MAX]
        shown = _cut("".join(c if c.isprintable() else "?" for c in " ".join(shown.split())))
        closing = " }}" if end >= 0 else ""
        raise ExpressionError(f"${{{{ {shown}{closing}: {what}; {fix}", offset=self._start, within=self._within)


def _shown(reference: Reference, scope: Scope) -> str:
    value = reference.resolve(scope)
    if isinstance(value, str):
        return value
    try:
        return canonical(value).decode()
    except ValueError as error:
        raise ExpressionError(
            f"${{{{ {_cut(str(reference))} }}}}: {error}; insert a part of it",
            offset=reference.offset,
            within=reference.within,
        ) from None


def _listed(names: Iterable[Any]) -> str:
    """At most a few names, so that an error stays one line."""
    shown = list(islice((_cut(_quoted(str(name))) for name in names), _NAMES_MAX + 1))
    if not shown:
        return "nothing"
    return ", ".join(shown[:_NAMES_MAX]) + (", ..." if len(shown) > _NAMES_MAX else "")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return "a string" if isinstance(value, str) else "a number"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."
