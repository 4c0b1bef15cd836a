"""The arithmetic of audits."""

from __future__ import annotations

import pytest

from tenuto.core.audits import first_difference, series_of, usual_answer, wilson
from tenuto.core.models import ModelReply, Served, Usage


@pytest.mark.parametrize(
    ("same", "of", "low", "high"),
    [(50, 50, 0.9287, 1.0), (31, 50, 0.4815, 0.7414), (0, 10, 0.0, 0.2775), (0, 0, 0.0, 1.0)],
)
def test_intervals_are_those_of_wilson(same: int, of: int, low: float, high: float) -> None:
    assert list(wilson(same, of)) == pytest.approx([low, high], abs=2e-4)


@pytest.mark.parametrize(
    ("a", "b", "at"), [("same", "same", None), ("abc", "abd", 2), ("ab", "abc", 2), ("", "x", 0)]
)
def test_the_first_difference_is_the_first_character(a: str, b: str, at: int | None) -> None:
    assert first_difference(a, b) == at


def test_a_series_counts_what_is_equal_cached_and_served() -> None:
    cached = Usage(cached_input_tokens=5)
    replies = [
        ModelReply(text="red", served=Served(system_fingerprint="a")),
        ModelReply(text="rot", usage=cached, finish="length"),
        ModelReply(text="red", usage=cached),
    ]
    assert usual_answer(replies) == "red"
    series = series_of(replies, "red", at_once=2, failed=1)
    assert (series.same, series.answers, series.failed, series.distinct, series.differs_at) == (2, 3, 1, 2, 1)
    assert (series.cached, series.cached_same) == (2, 1)
    assert series.fingerprints == {"": 2, "a": 1}
    assert series.finishes == {"length": 1, "stop": 2}
    assert usual_answer([]) == ""
