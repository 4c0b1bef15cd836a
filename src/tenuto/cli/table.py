"""Tables of plain text: columns as wide as their longest cell, narrower where all would not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tenuto.cli.screen import Line, Span, cells, fitted

__all__ = ["styled_table"]

COLUMN_MIN = 8


def styled_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    styles: Mapping[int, Mapping[str, str]] | None = None,
    right: Sequence[int] = (),
    keep: Sequence[int] = (),
) -> Iterator[Line]:
    """The lines of a table of at most that width. `styles`: by column, how a text is shown; `right`: aligned so.

    The columns of `keep` are never cut.
    """
    widths = _widths([[" ".join(cell.split()) for cell in row] for row in [heads, *rows]], width, keep)
    for number, row in enumerate([heads, *rows]):
        line = []
        for column, cell in enumerate(row):
            style = "dim" if number == 0 else (styles or {}).get(column, {}).get(cell, "")
            text = fitted(cell, widths[column])
            gap = " " * (widths[column] - cells(text))
            line.append(Span(gap + text if column in right else text + gap, style))
            line.append(Span("  "))
        yield tuple(line[:-1])


def _widths(rows: Sequence[Sequence[str]], width: int | None, keep: Sequence[int]) -> list[int]:
    """What each column gets: all it needs, or the widest of those that may give way until the table fits."""
    widths = [max(cells(row[i]) for row in rows) for i in range(len(rows[0]))]
    giving = [i for i in range(len(widths)) if i not in keep]
    while width is not None and giving and sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(giving, key=widths.__getitem__)
        if widths[widest] <= COLUMN_MIN:
            break
        widths[widest] -= 1
    return widths
