"""The worst case of a plan as a table."""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.app.forecast import DIMENSIONS, Forecast, StepForecast
from tenuto.cli.amounts import shown_amount
from tenuto.cli.screen import Line, plain
from tenuto.cli.table import styled_table

__all__ = ["forecast_lines"]

HEADS = ("at most", "model calls", "tool calls", "output tokens", "tokens", "money")


def forecast_lines(found: Forecast, width: int | None) -> Iterator[Line]:
    """A row for each step, and one for all; columns in which nothing can be spent are left out."""
    rows = [(step.step, *(_cell(step, d) for d in DIMENSIONS)) for step in found.steps]
    total = []
    for dimension in DIMENSIONS:
        whole, limit = getattr(found.whole, dimension), getattr(found.limit, dimension)
        budget = " (budget)" if limit is not None and whole == limit else ""
        shown = shown_amount if budget else _amount
        total.append("no bound" if whole is None else f"{shown(dimension, whole)}{budget}")
    rows.append(("in all", *total))
    used = [0, *(i for i in range(1, len(HEADS)) if any(row[i] != "-" for row in rows))]
    heads = [HEADS[i] for i in used]
    if len(used) > 1:
        yield plain("")
        for line in styled_table(heads, [[row[i] for i in used] for row in rows], width=width and width - 2):
            yield (*plain("  "), *line)
        yield plain("")


def _cell(step: StepForecast, dimension: str) -> str:
    each, limit, whole = (getattr(part, dimension) for part in (step.each, step.limit, step.whole))
    if whole == 0:
        return "-"
    if limit is not None and whole == limit and (step.items is None or each is None or each * step.items > limit):
        return f"{_amount(dimension, limit)} (limit)"
    if whole is not None:
        return _amount(dimension, whole)
    return "no bound" if each is None else f"{_amount(dimension, each)} per item"


def _amount(dimension: str, amount: int) -> str:
    return "-" if amount == 0 else shown_amount(dimension, amount)
