"""Templates: texts and values with expressions in `${{ }}`, compiled once and rendered often.

    inputs.issue    steps.triage.output.files[0].name    size(steps.triage.output.files) <= inputs.max_files

`$${{` stands for a literal `${{`. Pure: what an expression reads is looked up in the scope the caller hands in, never
anywhere else. A plain path needs no CEL; anything else loads it, when the template is compiled.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from msgspec import Struct

from tenuto.core.canonical import DEPTH_MAX, canonical
from tenuto.core.expressions.errors import CLOSE, OPEN, ExpressionError, FlawError, Part, placed
from tenuto.core.expressions.expression import Expression
from tenuto.core.expressions.paths import read_path
from tenuto.core.expressions.references import Reference, Scope
from tenuto.core.expressions.wording import kind_of

__all__ = ["RENDERED_MAX", "TEMPLATE_MAX", "Template", "parse_condition", "parse_text", "parse_value"]

TEMPLATE_MAX = 1 << 20
"""Characters of the longest string that may hold expressions."""
RENDERED_MAX = 64 << 20
"""Characters of the longest text a template renders to: a short template may repeat a long value."""

_Found = Reference | Expression


class _Text(Struct, frozen=True):
    """A string with expressions in it: literal text and expressions in turn."""

    parts: tuple[str | _Found, ...]

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


class _Items(Struct, frozen=True):
    """A list of which at least one item holds expressions."""

    items: tuple[Any, ...]


class _Object(Struct, frozen=True):
    """An object of which at least one value holds expressions."""

    items: tuple[tuple[str, Any], ...]


class _Condition(Struct, frozen=True):
    """An expression that must be true or false."""

    expression: _Found

    def decide(self, scope: Scope) -> bool:
        found = self.expression
        value = found.resolve(scope)
        if type(value) is bool:
            return value
        flaw = FlawError(f"a condition is true or false, and this is {kind_of(value)}", "compare it with something")
        raise placed(flaw, str(found), found.offset, found.within)


class Template(Struct, frozen=True):
    """A compiled template. Immutable; `references` are in the order in which they are written.

    `constant` says that it holds no expression, so that it gives the same for every scope. What `evaluate` returns
    may share parts with the template and the scope: treat it as read-only.
    """

    references: tuple[Reference, ...]
    constant: bool
    _program: Any

    def render(self, scope: Scope) -> str:
        """The text: strings are inserted as they are, other values as canonical JSON.

        Raises ExpressionError where an expression has no value, TypeError for a template of `parse_value`
        that does not yield a string.
        """
        result = _run(self._program, scope)
        if type(result) is not str:
            raise TypeError("only a template made by parse_text renders to text")
        return result

    def evaluate(self, scope: Scope) -> Any:
        """The value, typed. Raises ExpressionError where an expression has no value."""
        return _run(self._program, scope)


def parse_text(text: str) -> Template:
    """Compile a text; it always renders to a string. Raises ExpressionError."""
    if OPEN not in text:
        return Template((), True, text)
    parts = tuple(_split(text, ()))
    found = [part for part in parts if not isinstance(part, str)]
    return _template(found, _Text(parts) if found else "".join(map(str, parts)))


def parse_value(value: Any) -> Template:
    """Compile a JSON value whose strings, at any depth, may hold expressions; keys are taken as written.

    A string that is exactly one expression yields that expression's value, with its type. Raises ExpressionError.
    """
    found: list[_Found] = []
    program = _compile(value, (), found)
    return _template(found, program)


def parse_condition(text: str) -> Template:
    """Compile one expression that must yield true or false; its `${{ }}` may be left out. Raises ExpressionError.

    `evaluate` returns a bool, and raises ExpressionError where the expression yields anything else.
    """
    if OPEN in text:
        parts = [part for part in _split(text, ()) if not isinstance(part, str) or part.strip()]
        if len(parts) != 1 or isinstance(parts[0], str):
            raise ExpressionError(
                "a condition is one expression, with nothing beside it; put all of it into one ${{ }}"
            )
        found = parts[0]
    else:
        _check_length(text, ())
        found, _ = _read(text, 0, 0, (), "")
    return _template([found], _Condition(found))


def _template(found: list[_Found], program: Any) -> Template:
    references = [[one] if isinstance(one, Reference) else one.references for one in found]
    return Template(tuple(chain.from_iterable(references)), not found, program)


def _run(program: Any, scope: Scope) -> Any:
    if isinstance(program, (Reference, Expression)):
        return program.resolve(scope)
    if isinstance(program, _Text):
        return program.render(scope)
    if isinstance(program, _Object):
        return {key: _run(item, scope) for key, item in program.items}
    if isinstance(program, _Items):
        return [_run(item, scope) for item in program.items]
    if isinstance(program, _Condition):
        return program.decide(scope)
    return program


def _compile(value: Any, within: tuple[Part, ...], found: list[_Found]) -> Any:
    """The program of a value; a part without expressions is its own program. Adds to `found`."""
    if isinstance(value, str):
        return _compile_string(value, within, found)
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if len(within) >= DEPTH_MAX:
        raise ExpressionError(f"the value is nested more than {DEPTH_MAX} deep; make it flatter", within=within)
    if isinstance(value, Mapping):
        pairs = tuple((key, _compile(item, (*within, key), found)) for key, item in value.items())
        return value if all(new is value[key] for key, new in pairs) else _Object(pairs)
    items = tuple(_compile(item, (*within, i), found) for i, item in enumerate(value))
    return value if all(new is old for new, old in zip(items, value, strict=True)) else _Items(items)


def _compile_string(text: str, within: tuple[Part, ...], found: list[_Found]) -> Any:
    if OPEN not in text:
        return text
    parts = tuple(_split(text, within))
    here = [part for part in parts if not isinstance(part, str)]
    if not here:
        return "".join(map(str, parts))
    found.extend(here)
    return parts[0] if len(parts) == 1 else _Text(parts)


def _split(text: str, within: tuple[Part, ...]) -> Iterator[str | _Found]:
    """Literal text and expressions in turn, without empty literals."""
    _check_length(text, within)
    done = 0
    while (at := text.find(OPEN, done)) >= 0:
        if at > done and text[at - 1] == "$":
            yield text[done : at - 1] + OPEN
            done = at + len(OPEN)
            continue
        if at > done:
            yield text[done:at]
        found, end = _read(text, at, at + len(OPEN), within, CLOSE)
        yield found
        done = end + len(CLOSE)
    if done < len(text):
        yield text[done:]


def _check_length(text: str, within: tuple[Part, ...]) -> None:
    if len(text) > TEMPLATE_MAX:
        raise ExpressionError(f"the text is longer than {TEMPLATE_MAX} characters; make it shorter", within=within)


def _read(text: str, at: int, begin: int, within: tuple[Part, ...], close: str) -> tuple[_Found, int]:
    """The expression between `begin` and the next `close` (empty: the end of the text), and where that stands."""
    try:
        path = read_path(text, begin, at, within, close)
        if path is not None:
            return path
        if close and text.find(close, begin) < 0:
            raise FlawError("it is not closed", "end it with }}, or write $${{ for a literal ${{")
        from tenuto.core.expressions.cel import read_expression

        return read_expression(text, begin, within, close)
    except FlawError as flaw:
        end = text.find(close, begin) if close else len(text)
        raise placed(flaw, text[begin : end if end >= 0 else len(text)], at, within) from None


def _shown(found: _Found, scope: Scope) -> str:
    value = found.resolve(scope)
    if isinstance(value, str):
        return value
    try:
        return canonical(value).decode()
    except ValueError as error:
        raise placed(FlawError(str(error), "insert a part of it"), str(found), found.offset, found.within) from None
