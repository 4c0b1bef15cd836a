"""The arithmetic of the accounts of root runs, the same in every store."""

from __future__ import annotations

from collections.abc import Mapping

from tenuto.errors import AccountChangedError
from tenuto.ports.journal import Grant

__all__ = ["ACCOUNT_MAX", "after_giving", "after_taking", "check_grants"]

ACCOUNT_MAX = 2**62 - 1
"""Of one dimension. Far beyond any budget, and SQLite keeps it as an integer."""


def check_grants(*grants: Grant | None) -> None:
    """ValueError where an amount is negative or a name is no text: a caller's bug, refused before any write."""
    for grant in grants:
        if grant is None:
            continue
        for name in (grant.root, *grant.amounts):
            name.encode()  # a UnicodeEncodeError is a ValueError
        for dimension, amount in grant.amounts.items():
            if amount < 0:
                raise ValueError(f"a grant of {amount} {dimension}")


def after_taking(free: Mapping[str, int], grant: Grant) -> dict[str, int]:
    """What is free when the grant has left. AccountChangedError where there is less than that."""
    left = dict(free)
    for dimension, amount in grant.amounts.items():
        has = left.get(dimension, 0)
        if has < amount:
            raise AccountChangedError(
                f"the account of run {grant.root} has {has} {dimension} left, and {amount} are asked of it",
                fix="ask for no more than is left, or add the rest with --add-budget",
            )
        if amount:
            left[dimension] = has - amount
    return left


def after_giving(free: Mapping[str, int], grant: Grant) -> dict[str, int]:
    """What is free when the grant has entered."""
    more = {dimension: min(free.get(dimension, 0) + n, ACCOUNT_MAX) for dimension, n in grant.amounts.items()}
    return {**free, **more}
