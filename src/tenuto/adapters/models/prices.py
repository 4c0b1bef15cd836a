"""List prices, from the optional `genai-prices` package (`pip install 'tenuto[prices]'`).

A price enters a `ModelProfile` when the profile is asked for, and with it the run's lock: a run never reads the
package again. `Price` counts millionths of a dollar for a million tokens, so 0.25 dollars for a million input
tokens are 250,000. Where a price has tiers the dearest holds, and cached input counts as input: the ledger may
charge more than the bill, never less.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tenuto.core.models import Price

__all__ = ["list_price"]


def list_price(model: str, *, provider: str | None, now_us: int) -> Price | None:
    """The price that holds at `now_us` for a provider's model; None where it is unknown or the package is absent."""
    try:
        import genai_prices
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    try:
        _, info = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    prices = info.get_prices(datetime.fromtimestamp(now_us / 1_000_000, UTC))
    input_micros, output_micros = _micros(prices.input_mtok), _micros(prices.output_mtok)
    if input_micros is None or output_micros is None:
        return None
    source = f"genai-prices {genai_prices.__version__}: {info.id}"
    return Price(input_micros=input_micros, output_micros=output_micros, source=source)


def _micros(dollars: Any) -> int | None:
    """Dollars for a million tokens as millionths, rounded up; of tiers the dearest."""
    if dollars is None:
        return None
    tiers = getattr(dollars, "tiers", None)
    worst: Decimal = dollars if tiers is None else max([dollars.base, *(tier.price for tier in tiers)])
    return int((Decimal(worst) * 1_000_000).to_integral_value(rounding="ROUND_CEILING"))
