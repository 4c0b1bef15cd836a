"""The accounts of root runs in SQLite: a row for each dimension, changed in the transaction of the records."""

from __future__ import annotations

from tenuto.adapters.stores.accounts import after_giving, after_taking
from tenuto.adapters.stores.sqlite_transaction import Transaction
from tenuto.core.ids import RunId
from tenuto.ports.journal import Grant

__all__ = ["ACCOUNT_QUERY", "give", "take"]

ACCOUNT_QUERY = "SELECT dimension, free FROM accounts WHERE root = ? ORDER BY dimension"
_KEEP = """
INSERT INTO accounts (root, dimension, free) VALUES (?, ?, ?)
ON CONFLICT (root, dimension) DO UPDATE SET free = excluded.free
"""


def take(txn: Transaction, grant: Grant) -> None:
    """Let a grant leave the account of its root. AccountChangedError, before anything is changed."""
    before = _free(txn, grant.root)
    _keep(txn, grant.root, before, after_taking(before, grant))


def give(txn: Transaction, grant: Grant) -> None:
    """Let a grant enter the account of its root."""
    before = _free(txn, grant.root)
    _keep(txn, grant.root, before, after_giving(before, grant))


def _free(txn: Transaction, root: RunId) -> dict[str, int]:
    return dict(txn.execute(ACCOUNT_QUERY, (root,)))


def _keep(txn: Transaction, root: RunId, before: dict[str, int], after: dict[str, int]) -> None:
    for dimension, free in after.items():
        if before.get(dimension) != free:
            txn.execute(_KEEP, (root, dimension, free))
