"""What a fork would do, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tenuto.app.forecast import DIMENSIONS
from tenuto.cli.amounts import counted_amount

if TYPE_CHECKING:
    from tenuto.app.foreseeing import Foreseen

__all__ = ["foreseen_lines"]

SHOWN_MAX = 20
"""Steps that are named of each kind."""


def foreseen_lines(found: Foreseen) -> Iterator[str]:
    """The lines of `fork --dry-run`."""
    yield f"a fork of {found.parent}: nothing is recorded yet"
    for change in found.changes:
        yield f"  {change.part}: {change.what} by {change.by}"
    for name in found.unchanged:
        yield f"  {name}: as the run recorded it"
    yield f"executed   {_named(found.certain)}"
    if found.maybe:
        yield f"perhaps    {_named(found.maybe)}"
        yield "           reused instead where the outputs before them stay what they were"
    yield f"reused     {_named(found.reused)}"
    if found.certain or found.maybe:
        yield f"at most    {', '.join(_cost(found)) or 'nothing that is counted'}"
    for repeated in found.asks:
        yield f"asks first {repeated.step}: {repeated.tool} would repeat the outside effect of {repeated.call}"


def _named(steps: Sequence[str]) -> str:
    more = f" and {len(steps) - SHOWN_MAX} more" if len(steps) > SHOWN_MAX else ""
    return (", ".join(steps[:SHOWN_MAX]) or "nothing") + more


def _cost(found: Foreseen) -> Iterator[str]:
    for dimension in DIMENSIONS:
        amount = getattr(found.cost, dimension)
        if amount is None:
            yield f"{dimension.replace('_', ' ').replace('usd micros', 'money')} without bound"
        elif amount:
            yield counted_amount(dimension, amount)
