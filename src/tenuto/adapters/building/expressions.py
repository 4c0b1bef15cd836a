"""Expressions of plans as Python values: `output(triage)["files"]` stands for `${{ steps.triage.output.files }}`."""

from __future__ import annotations

import json
import re

from tenuto.core.plan import Step

__all__ = [
    "Expression",
    "error",
    "expression",
    "given",
    "item",
    "iteration",
    "key",
    "last",
    "output",
    "status",
    "value",
]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


class Expression:
    """What stands inside `${{ }}`. As text, and so in an f-string, it is written with them.

    `[name]` and `[number]` go on into the value. `inside` is the text without `${{ }}`, for larger expressions.
    """

    __slots__ = ("inside",)

    def __init__(self, inside: str) -> None:
        self.inside = inside

    def __getitem__(self, part: str | int) -> Expression:
        if isinstance(part, int):
            return Expression(f"{self.inside}[{part}]")
        if _NAME.match(part):
            return Expression(f"{self.inside}.{part}")
        return Expression(f"{self.inside}[{json.dumps(part, ensure_ascii=False)}]")

    def __iter__(self) -> None:
        # Without this, Python would walk over [0], [1], ... for ever.
        raise TypeError("the value of an expression is known only when its step runs; use foreach")

    def __str__(self) -> str:
        return f"${{{{ {self.inside} }}}}"

    def __repr__(self) -> str:
        return f"expression({self.inside!r})"


def expression(inside: str) -> Expression:
    """Any expression: a path or a calculation, such as `size(inputs.files) > 3`."""
    return Expression(inside)


def output(step: Step | str) -> Expression:
    """What a step gave. The step that reads it must need that step, directly or through others."""
    return _of(step, "output")


def status(step: Step | str) -> Expression:
    """How a step ended: `completed`, `failed`, `skipped` or `cancelled`."""
    return _of(step, "status")


def error(step: Step | str) -> Expression:
    """`{kind, message}` of a step that failed, else null."""
    return _of(step, "error")


def given(name: str) -> Expression:
    """An input of the run."""
    return Expression("inputs")[name]


def value(name: str) -> Expression:
    """One of the step's own `values`, for its prompt, command or output schema."""
    return Expression("with")[name]


item = Expression("item")
"""The item of a child of a `foreach`."""
key = Expression("key")
"""Its key."""
last = Expression("last")
"""The iteration before, in a `repeat`: `last["output"]`, `last["status"]`, `last["error"]`."""
iteration = Expression("iteration")
"""The number of this iteration, from 1."""


def _of(step: Step | str, part: str) -> Expression:
    return Expression("steps")[step if isinstance(step, str) else step.name][part]
