"""What happens to accounts beyond the calls themselves."""

from __future__ import annotations

import msgspec

from tenuto.core.budget import Amount
from tenuto.core.ids import Position

__all__ = ["BudgetMoved", "LanesOpened", "Moved"]


class Moved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one account gave. The run's own rest is the account `run`."""

    account: str
    amount: Amount


class BudgetMoved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: a parked call is paid from what others leave over."""

    call: Position
    sources: tuple[Moved, ...]
    to: str


class LanesOpened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Derived: a gather splits what its account has free equally over its lanes."""

    call: Position
    lanes: int
    share: Amount | None = None
