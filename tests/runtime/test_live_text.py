"""What is shown of an answer on its way."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tenuto.core.ids import RunId
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.runtime.bus import EventBus
from tenuto.runtime.live_text import LiveText, LiveTextTeller

SECRET = "hunter2-hunter2"


def told(redactor: Redactor, pieces: list[str]) -> list[str]:
    bus = EventBus()
    seen: list[str] = []
    bus.on(LiveText, lambda piece: seen.append(piece.text))
    teller = LiveTextTeller(bus, redactor, RunId("r"), "s/1/0", 1)
    for piece in pieces:
        teller(piece)
    teller.end()
    return seen


def test_where_nothing_is_secret_every_piece_is_told_as_it_came() -> None:
    assert told(NOTHING_SECRET, ["a", "b c", "d"]) == ["a", "b c", "d"]


@given(st.lists(st.integers(0, 60), max_size=8))
def test_a_secret_that_comes_in_pieces_is_not_shown(cuts: list[int]) -> None:
    text = f"The key is {SECRET}, and\nno other; {SECRET}"
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    seen = told(Redactor({"key": SECRET}), pieces)
    assert "".join(seen) == text.replace(SECRET, "[secret:key]")


def test_a_word_without_end_is_not_held_for_ever() -> None:
    seen = told(Redactor({"key": SECRET}), ["x" * 1_000] * 6)
    assert len(seen) > 1
    assert "".join(seen) == "x" * 6_000
