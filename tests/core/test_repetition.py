"""Moments of a repeatable command's clock, and what it is given."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.core.repetition import Repeatable, clock_seconds, repetition_of


@given(st.datetimes(datetime(1980, 1, 1), datetime(2099, 12, 31, 23, 59, 59)))  # noqa: DTZ001 - UTC is added
def test_a_moment_is_that_of_the_calendar(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    assert clock_seconds(whole.strftime("%Y-%m-%dT%H:%M:%SZ")) == int(whole.timestamp())


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00Z\n", "1979-12-31T23:59:59Z"),
        *("2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z"),
    ],
)
def test_other_texts_are_no_moments(text: str) -> None:
    with pytest.raises(ValueError, match="no moment"):
        clock_seconds(text)


def test_what_a_command_is_given_depends_on_seed_place_and_clock() -> None:
    asked = Repeatable()
    given_ones = [
        repetition_of(asked, "seed", "pack/0"),
        repetition_of(asked, "seed", "pack/1"),
        repetition_of(asked, "other", "pack/0"),
        repetition_of(Repeatable(clock="2030-01-01T00:00:00Z"), "seed", "pack/0"),
    ]
    assert len({str(one) for one in given_ones}) == 4
    assert given_ones[0] == repetition_of(asked, "seed", "pack/0")
    assert repetition_of(None, "seed", "pack/0") is None
    assert repetition_of(Repeatable(on=False), "seed", "pack/0") is None
