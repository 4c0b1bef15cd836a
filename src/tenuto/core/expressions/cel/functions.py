"""The functions of expressions."""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from tenuto.core.canonical import canonical
from tenuto.core.expressions.cel.frames import Frame
from tenuto.core.expressions.cel.literals import INTEGER_MAX
from tenuto.core.expressions.cel.nodes import Literal, Node
from tenuto.core.expressions.cel.patterns import Pattern, read_pattern
from tenuto.core.expressions.cel.texts import join, lower_ascii, replace, split, text_of, trim, upper_ascii
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import cut, kind_of, quoted

__all__ = ["FUNCTIONS", "call"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class Function(Struct, frozen=True):
    """A function: how many arguments it may take, and whether it is written `text.name()`, `name(text)` or both."""

    run: Callable[..., Any]
    arguments: tuple[int, ...]
    member: bool = True
    free: bool = False


class Call(Node, frozen=True):
    """A call of a function; its first argument is what stands before the dot."""

    function: Function
    arguments: tuple[Node, ...]

    def value(self, frame: Frame) -> Any:
        values = [argument.value(frame) for argument in self.arguments]
        try:
            return self.function.run(frame, *values)
        except FlawError as flaw:
            flaw.at = self.at if flaw.at < 0 else flaw.at
            raise

    @property
    def inner(self) -> tuple[Node, ...]:
        return self.arguments


class Matches(Node, frozen=True):
    """`text.matches(pattern)` with a pattern that is written in the expression: read once."""

    operand: Node
    pattern: Pattern

    def value(self, frame: Frame) -> Any:
        return self.pattern.found_in(text_of("matches", self.operand.value(frame)), frame)

    @property
    def inner(self) -> tuple[Node, ...]:
        return (self.operand,)


def call(name: str, at: int, end: int, arguments: tuple[Node, ...]) -> Node:
    """The node for a call whose name and count of arguments are right. Raises FlawError for a wrong pattern."""
    if name == "matches" and isinstance(pattern := arguments[1], Literal) and isinstance(pattern.constant, str):
        try:
            return Matches(at, end, arguments[0], read_pattern(pattern.constant))
        except FlawError as flaw:
            flaw.at = pattern.at
            raise
    return Call(at, end, FUNCTIONS[name], arguments)


def _size(_frame: Frame, value: Any) -> int:
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise FlawError(f"{kind_of(value)} has no size", "take the size of a string, a list or an object")


def _contains(frame: Frame, text: Any, part: Any) -> bool:
    _two_texts("contains", frame, text, part)
    return part in text


def _starts_with(frame: Frame, text: Any, part: Any) -> bool:
    _two_texts("startsWith", frame, text, part)
    return bool(text.startswith(part))


def _ends_with(frame: Frame, text: Any, part: Any) -> bool:
    _two_texts("endsWith", frame, text, part)
    return bool(text.endswith(part))


def _two_texts(name: str, frame: Frame, text: Any, part: Any) -> None:
    if isinstance(text, (list, tuple)) and name == "contains":
        raise FlawError("contains looks into strings, and finds a list", "write: part in list")
    frame.spend_text(len(text_of(name, text)) + len(text_of(name, part)))


def _matches(frame: Frame, text: Any, pattern: Any) -> bool:
    _two_texts("matches", frame, text, pattern)
    return read_pattern(pattern).found_in(text, frame)


def _int(_frame: Frame, value: Any) -> int:
    if type(value) is str and len(value) <= 30 and _INTEGER.fullmatch(value):
        value = int(value)
    elif type(value) is float:
        value = math.trunc(value)
    if type(value) is not int:
        raise _no_number("int", "a whole number", value)
    if not -INTEGER_MAX <= value < INTEGER_MAX:
        raise FlawError("the whole number has more than 64 bits", "convert a smaller one")
    return value


def _double(frame: Frame, value: Any) -> float:
    if type(value) is str:
        frame.spend_text(len(value))
        if _DOUBLE.fullmatch(value):
            value = float(value)
    if type(value) not in (int, float):
        raise _no_number("double", "a number", value)
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if math.isinf(result):
        raise FlawError("the number is too large for a double", "convert a smaller one")
    return result


def _no_number(name: str, what: str, value: Any) -> FlawError:
    shown = quoted(cut(value)) if isinstance(value, str) else kind_of(value)
    return FlawError(
        f"{name}() makes {what} of digits or of a number, not of {shown}", "test it first with matches()"
    )


def _string(_frame: Frame, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (Mapping, list, tuple)):
        raise FlawError(f"string() makes no string of {kind_of(value)}", "take a part of it, or put it into a text")
    return canonical(value).decode()


def _bool(_frame: Frame, value: Any) -> bool:
    found = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if isinstance(found, bool):
        return found
    shown = quoted(cut(value)) if isinstance(value, str) else kind_of(value)
    raise FlawError(f'bool() knows "true" and "false", not {shown}', "compare it with something")


def _same(_frame: Frame, value: Any) -> Any:
    return value


FUNCTIONS = {
    "size": Function(_size, (1,), free=True),
    "contains": Function(_contains, (2,)),
    "startsWith": Function(_starts_with, (2,)),
    "endsWith": Function(_ends_with, (2,)),
    "matches": Function(_matches, (2,), free=True),
    "split": Function(split, (2,)),
    "join": Function(join, (1, 2)),
    "replace": Function(replace, (3,)),
    "trim": Function(trim, (1,)),
    "lowerAscii": Function(lower_ascii, (1,)),
    "upperAscii": Function(upper_ascii, (1,)),
    "int": Function(_int, (1,), member=False, free=True),
    "double": Function(_double, (1,), member=False, free=True),
    "string": Function(_string, (1,), member=False, free=True),
    "bool": Function(_bool, (1,), member=False, free=True),
    "dyn": Function(_same, (1,), member=False, free=True),
}
"""Every function by name; `arguments` counts what stands before the dot."""
