"""What a strict run refuses."""

from __future__ import annotations

import pytest

from tenuto.core.models import ModelProfile
from tenuto.core.pinning import dropped_by, unpinned_models


@pytest.mark.parametrize(
    ("accepts", "dropped", "told"),
    [
        (("temperature", "top_p", "seed", "max_tokens"), (), ""),
        (("temperature", "top_p"), ("seed",), "would drop seed,"),
        (("seed",), ("temperature", "top_p"), "would drop temperature and top_p,"),
        ((), ("temperature", "top_p", "seed"), "would drop temperature, top_p and seed,"),
    ],
)
def test_each_missing_parameter_is_named(accepts: tuple[str, ...], dropped: tuple[str, ...], told: str) -> None:
    profile = ModelProfile(name="openai:m", accepts=accepts)
    assert dropped_by(profile) == dropped
    refusals = unpinned_models({"openai:m": profile, "mock:": ModelProfile(name="mock:")})
    assert len(refusals) == bool(dropped)
    for refusal in refusals:
        assert refusal.where == "model openai:m"
        assert told in refusal.what
