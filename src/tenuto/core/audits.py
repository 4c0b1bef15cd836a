"""An audit: how far one model repeats itself when it is asked the same thing again. Values and arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt

import msgspec

from tenuto.core.budget import Amount
from tenuto.core.ids import Digest
from tenuto.core.models import Grade, ModelReply, Price, Usage

__all__ = ["AUDITS", "Audit", "Series", "audit_cost", "first_difference", "series_of", "usual_answer", "wilson"]

AUDITS = "~audits"
"""Where audits stand in the artifact store, one name for each model. No run can have this id."""
_Z = 1.959963984540054
"""The normal quantile of 95 %."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The calls that were made with so many at once.

    `same`: answers equal to the audit's usual answer; `low` and `high` bound their true share with 95 % confidence
    (Wilson). `differs_at`: the first character, from 0, at which one of the others differs; null where none does.
    `cached` of the answers came with a part of the prompt from the server's cache, `cached_same` of these were equal.
    `failed` calls have no answer. Models and fingerprints are what the server said, each with its count.
    """

    at_once: int
    answers: int
    failed: int
    same: int
    distinct: int
    low: float
    high: float
    differs_at: int | None
    cached: int
    cached_same: int
    finishes: dict[str, int]
    fingerprints: dict[str, int]
    models: dict[str, int]


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, as it is stored. `usual` is the most frequent answer when calls were made one at a time."""

    at_us: int
    dropped: tuple[str, ...]
    grade: Grade
    max_tokens: int
    model: str
    profile: str
    prompt: Digest
    seed: int
    series: tuple[Series, ...]
    spent: Amount
    stopped: str
    usual: str

    def told(self) -> str:
        """In a line: `50 of 50 identical at 1, 31 of 50 at 8`."""
        words = [" identical"] + [""] * len(self.series)
        parts = [f"{s.same} of {s.answers}{word} at {s.at_once}" for s, word in zip(self.series, words, strict=False)]
        return ", ".join(parts)


def wilson(same: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, rounded to 4 digits; (0, 1) where nothing was seen."""
    if of == 0:
        return 0.0, 1.0
    share, square = same / of, _Z * _Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = _Z * sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def usual_answer(replies: Sequence[ModelReply]) -> str:
    """The most frequent text; of several the one that came first. Empty where there is none."""
    counts = Counter(reply.text for reply in replies)
    return counts.most_common(1)[0][0] if counts else ""


def first_difference(text: str, other: str) -> int | None:
    """The first character, from 0, at which two texts differ; None where they are equal."""
    if text == other:
        return None
    pairs = zip(text, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(text), len(other)))


def series_of(replies: Sequence[ModelReply], usual: str, *, at_once: int, failed: int) -> Series:
    """The figures of one series."""
    same = sum(reply.text == usual for reply in replies)
    low, high = wilson(same, len(replies))
    places = [place for reply in replies if (place := first_difference(usual, reply.text)) is not None]
    cached = [reply for reply in replies if reply.usage.cached_input_tokens]
    return Series(
        at_once=at_once,
        answers=len(replies),
        failed=failed,
        same=same,
        distinct=len({reply.text for reply in replies}),
        low=low,
        high=high,
        differs_at=min(places, default=None),
        cached=len(cached),
        cached_same=sum(reply.text == usual for reply in cached),
        finishes=_counted(reply.finish for reply in replies),
        fingerprints=_counted(reply.served.system_fingerprint or "" for reply in replies),
        models=_counted(reply.served.model or "" for reply in replies),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def audit_cost(price: Price | None, usage: Usage) -> Amount:
    """What a call of that usage costs, rounded up."""
    micros = 0
    if price is not None:
        micros = -(
            -(usage.input_tokens * price.input_micros + usage.output_tokens * price.output_micros) // 1_000_000
        )
    return Amount(
        input_tokens=usage.input_tokens,
        model_calls=1,
        output_tokens=usage.output_tokens,
        tokens=usage.input_tokens + usage.output_tokens,
        usd_micros=micros,
    )
