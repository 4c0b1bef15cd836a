"""Whether a plan's limit in money can be kept: what a model costs must be known before it is asked."""

from __future__ import annotations

from collections.abc import Mapping

from tenuto.core.models import ModelProfile
from tenuto.core.spec import RunSpec
from tenuto.errors import UsageError

__all__ = ["unknown_prices"]


def unknown_prices(spec: RunSpec, profiles: Mapping[str, ModelProfile]) -> tuple[UsageError, ...]:
    """A refusal for each model without a price, where the plan limits money. Exact models cost nothing by nature."""
    if "usd_micros" not in spec.limited:
        return ()
    return tuple(
        UsageError(
            f"the plan limits money, but the price of {name} is not known",
            fix=f'declare it in tenuto.toml ([prices."{name}"] with input and output in dollars for a million '
            "tokens), install tenuto[prices], or limit tokens instead",
        )
        for name, profile in sorted(profiles.items())
        if profile.price is None and profile.grade != "exact"
    )
