"""What enters and leaves the account of a root run, with which records."""

from __future__ import annotations

from tenuto.core.budget import DIMENSIONS
from tenuto.core.events import Event
from tenuto.core.events.run import RunForked
from tenuto.core.ledger import rest_of
from tenuto.core.state import ExecutionState
from tenuto.ports.journal import Grant

__all__ = ["given_back", "taken_by"]


def taken_by(first: Event) -> Grant | None:
    """What a run takes with its first record: a fork its grant, any other nothing."""
    if not isinstance(first, RunForked):
        return None
    amounts = {name: amount for name in DIMENSIONS if (amount := getattr(first.granted, name))}
    return Grant(first.root, amounts) if amounts else None


def given_back(state: ExecutionState) -> Grant | None:
    """What a run gives back with the records that lead to this state: its rest, where they end it."""
    if not state.ended or not state.spec.plan.budget.limited:
        return None
    return Grant(state.root, rest_of(state))
