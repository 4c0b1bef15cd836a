"""What can be wrong with an expression, and how its message is put together."""

from __future__ import annotations

from tenuto.core.expressions.wording import cut, one_line

__all__ = ["CLOSE", "OPEN", "ExpressionError", "FlawError", "Part", "placed"]

OPEN = "${{"
CLOSE = "}}"

Part = str | int
"""One part of a path: the key of an object, or the number of an item."""


class ExpressionError(ValueError):
    """An expression cannot be read, or has no value. The message is one line: what; how to fix it.

    `offset` is the place in the string that holds the expression, `within` the path of that string in its value.
    """

    def __init__(self, message: str, *, offset: int = 0, within: tuple[Part, ...] = ()) -> None:
        super().__init__(message)
        self.offset = offset
        self.within = within


class FlawError(Exception):
    """What is wrong inside an expression and how to fix it, before it is said which expression that is.

    `at` is the place in the string, -1 where the expression as a whole is meant. A `final` one cannot be made
    harmless by the other side of `&&` or `||`: a limit is reached.
    """

    def __init__(self, what: str, fix: str, *, at: int = -1, final: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.at = at
        self.final = final


def placed(flaw: FlawError, source: str, offset: int, within: tuple[Part, ...]) -> ExpressionError:
    """The error for a user: `source` is the expression as written, `offset` where it begins."""
    return ExpressionError(
        f"${{{{ {cut(one_line(source))} }}}}: {flaw.what}; {flaw.fix}",
        offset=offset if flaw.at < 0 else flaw.at,
        within=within,
    )
