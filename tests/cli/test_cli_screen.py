"""Text laid out for a screen."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.cli.screen import Screen, Span, cells, fitted, folded, screen_of
from tenuto.cli.table import styled_table

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from(" \n"), max_size=300)


@given(TEXT, st.integers(40, 120), st.sampled_from(["", "  ", "    | "]))
def test_folded_text_fits_and_loses_nothing_but_blanks(text: str, width: int, indent: str) -> None:
    lines = list(folded(text, width, indent))
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(line.removeprefix(indent.rstrip()) for line in lines).split()) == "".join(text.split())


@given(TEXT, st.integers(3, 80))
def test_fitted_text_is_one_line_that_fits(text: str, width: int) -> None:
    line = fitted(text, width)
    assert cells(line) <= width
    assert "\n" not in line
    assert line == " ".join(text.split()) or line.endswith("…")


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5), st.integers(40, 100))
def test_tables_fit_where_their_columns_can_give_way(rows: list[tuple[str, str, str]], width: int) -> None:
    for line in styled_table(("one", "two", "three"), rows, width=width):
        assert cells("".join(span.text for span in line)) <= width


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("no descriptor")


@pytest.mark.parametrize(
    ("stream", "variables", "coloured"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    stream: io.StringIO, variables: dict[str, str], coloured: bool
) -> None:
    screen = screen_of({**variables, "COLUMNS": "100"}, stream)
    screen.show([(Span("good", "good"), Span(" \x1b[2J plain"))])
    assert ("\x1b[32mgood\x1b[0m" in stream.getvalue()) == coloured
    assert "\x1b[2J" not in stream.getvalue()
    assert screen.width == 100


def test_a_pipe_has_no_width_and_a_terminal_has_one() -> None:
    assert screen_of({}, io.StringIO()).width is None
    assert screen_of({"TERM": "xterm"}, Terminal()).width == 80
    assert list(folded("word " * 100, None)) == [("word " * 100).rstrip()]
    Screen(io.StringIO(), width=None, colour=False).show([(Span("x"),)])
