"""Tables of plain text: columns as wide as their longest cell, which is cut where it would fill a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["cut", "table"]

CELL_MAX = 60


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    cells = [[cut(cell, CELL_MAX) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def cut(text: str, length: int) -> str:
    """A text on one line and of at most that many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."
