"""What the operators of expressions do with JSON values.

Numbers: an int is exact, of at most 64 bits; with a double on one side, the other becomes one. No result is NaN or
infinite. Nothing is converted but that, and true and false are no numbers.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from tenuto.core.expressions.cel.frames import Frame
from tenuto.core.expressions.cel.literals import INTEGER_MAX
from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import kind_of

__all__ = ["apply", "equal", "is_number"]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBERS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def apply(sign: str, left: Any, right: Any, frame: Frame) -> Any:
    """The value of `left sign right`. Raises FlawError where the operator is not made for such values."""
    if sign == "==":
        return equal(left, right, frame)
    if sign == "!=":
        return not equal(left, right, frame)
    if sign == "in":
        return _contained(left, right, frame)
    if sign in _COMPARE:
        return _compared(sign, left, right, frame)
    if is_number(left) and is_number(right):
        return _calculated(sign, left, right)
    if sign == "+":
        return _joined(left, right, frame)
    raise _unfit(sign, left, right, "numbers")


def equal(left: Any, right: Any, frame: Frame) -> bool:
    """Whether two JSON values are equal: numbers by value, objects in any order; of different kinds, never."""
    open_pairs = [(left, right)]
    while open_pairs:
        one, other = open_pairs.pop()
        frame.spend(1)
        if one is None or other is None or type(one) is bool or type(other) is bool:
            if one is not other:
                return False
        elif isinstance(one, str) or isinstance(other, str):
            frame.spend_text(len(one) if isinstance(one, str) else 0)
            if one != other:
                return False
        elif isinstance(one, Mapping):
            if not isinstance(other, Mapping) or len(one) != len(other) or any(key not in other for key in one):
                return False
            open_pairs.extend((item, other[key]) for key, item in one.items())
        elif isinstance(one, (list, tuple)):
            if not isinstance(other, (list, tuple)) or len(one) != len(other):
                return False
            open_pairs.extend(zip(one, other, strict=True))
        elif not is_number(other) or one != other:
            return False
    return True


def _contained(item: Any, held: Any, frame: Frame) -> bool:
    if isinstance(held, Mapping):
        return isinstance(item, str) and item in held
    if isinstance(held, (list, tuple)):
        return any(equal(item, one, frame) for one in held)
    fix = "write text.contains(part)" if isinstance(held, str) else "write a list or an object on its right"
    raise FlawError(f"in looks into lists and objects, and finds {kind_of(held)}", fix)


def _compared(sign: str, left: Any, right: Any, frame: Frame) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        frame.spend_text(min(len(left), len(right)))
    elif not (is_number(left) and is_number(right)) and not (type(left) is bool and type(right) is bool):
        raise _unfit(sign, left, right, "numbers or two texts")
    return _COMPARE[sign](left, right)


def _calculated(sign: str, left: Any, right: Any) -> Any:
    if sign in ("/", "%") and right == 0:
        raise FlawError(f"{sign} by zero", "test for zero first, as in n != 0 && 10 / n > 2")
    if type(left) is int and type(right) is int:
        return _whole(sign, left, right)
    if sign == "%":
        raise FlawError("% needs whole numbers", "convert with int()")
    try:
        result = left / right if sign == "/" else _NUMBERS[sign](float(left), float(right))
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise FlawError(f"the result of {sign} is too large", "calculate with smaller numbers")
    return float(result)


def _whole(sign: str, left: int, right: int) -> int:
    if not (-INTEGER_MAX <= left < INTEGER_MAX and -INTEGER_MAX <= right < INTEGER_MAX):
        raise FlawError("a whole number has more than 64 bits", "calculate with smaller numbers")
    if sign in ("/", "%"):
        quotient = abs(left) // abs(right)
        quotient = quotient if (left < 0) == (right < 0) else -quotient
        result = quotient if sign == "/" else left - quotient * right
    else:
        result = _NUMBERS[sign](left, right)
    if not -INTEGER_MAX <= result < INTEGER_MAX:
        raise FlawError(f"the result of {sign} has more than 64 bits", "calculate with smaller numbers")
    return result


def _joined(left: Any, right: Any, frame: Frame) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        frame.spend_text(len(left) + len(right))
        return left + right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        frame.spend(len(left) + len(right))
        return [*left, *right]
    raise _unfit("+", left, right, "numbers, two texts or two lists")


def _unfit(sign: str, left: Any, right: Any, needs: str) -> FlawError:
    converts = isinstance(left, str) or isinstance(right, str)
    fix = "convert one with string(), int() or double()" if converts else f"compare or choose what is two {needs}"
    return FlawError(f"{sign} needs two {needs}, and finds {kind_of(left)} and {kind_of(right)}", fix)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true and false are none."""
    return type(value) is int or type(value) is float
