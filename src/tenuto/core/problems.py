"""Problems found in a plan: what is wrong with which part, where that is written, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tenuto.core.printable import printable
from tenuto.errors import InvalidPlanError

__all__ = ["PROBLEMS_MAX", "Locate", "Problem", "did_you_mean", "refuse", "shorten"]

PROBLEMS_MAX = 20
"""Problems that are shown together."""


class Problem(NamedTuple):
    """One thing wrong with one part of a plan.

    `place` is `file:line:col` where it is known already. `offset` is the character of the string at `path` that is
    meant, -1 for the part as a whole.
    """

    path: str
    what: str
    fix: str
    place: str = ""
    offset: int = -1


Locate = Callable[[str, int], str]
"""The place of one character of the string at a path, empty where that is not known."""


def refuse(problems: Iterable[Problem], places: Mapping[str, str], locate: Locate | None = None) -> None:
    """Raise one InvalidPlanError that holds all the problems; return if there are none."""
    errors = [
        InvalidPlanError(
            f"{problem.path}: {problem.what}" if problem.path else problem.what,
            where=problem.place or _inside(problem, locate) or _place(problem.path, places),
            fix=problem.fix,
        )
        for problem in problems
    ]
    if errors:
        first = errors[0]
        raise InvalidPlanError(first.what, where=first.where, fix=first.fix, others=errors[1:])


def _inside(problem: Problem, locate: Locate | None) -> str:
    return locate(problem.path, problem.offset) if locate is not None and problem.offset >= 0 else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """How to fix an unknown name: the nearest known one, else `otherwise`, else the first few known ones."""
    names = list(known)
    near = difflib.get_close_matches(name[:64], names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    if otherwise:
        return otherwise
    shown = ", ".join(sorted(names)[:12]) + (", ..." if len(names) > 12 else "")
    return f"use one of: {shown}" if names else "none is declared"


def _place(path: str, places: Mapping[str, str]) -> str:
    """The place of a part, else of the nearest part around it."""
    while path:
        if path in places:
            return places[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return places.get("", "")


def shorten(name: str) -> str:
    """A text from outside as one short printable piece of a message."""
    cut = name if len(name) <= 60 else name[:57] + "..."
    return printable(cut)
