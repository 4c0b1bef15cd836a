"""Forks: what a run takes over from another, and what it may spend.

The grant of a fork comes from the account of its root: the run that it and all its parents come from. The store keeps
it: it holds what the root's runs gave back, and a fork takes of it in the transaction of its first record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenuto.core.budget import DIMENSIONS, NOTHING, Amount, Limits
from tenuto.core.canonical import digest
from tenuto.core.events.run import RunForked, RunStarted
from tenuto.core.ids import RunId, StepPath
from tenuto.core.reuse import reuse_table
from tenuto.core.reuse_table import ReuseTable, write_table
from tenuto.core.spec import RunSpec
from tenuto.core.state import ExecutionState
from tenuto.ports.journal import Journal
from tenuto.runtime.contents import Contents
from tenuto.runtime.loading import fold, load_records, load_spec

__all__ = ["Origin", "Parent", "forked", "read_parent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The run whose results are taken. Steps of `leave_out` are executed although nothing has changed; `changes` say
    in words what else is another than there. `own_budget`: the plan's own limits hold, as for a run that is no fork,
    and no account is asked.
    """

    run: RunId
    leave_out: tuple[StepPath, ...] = ()
    changes: tuple[str, ...] = ()
    add_budget: Amount = NOTHING
    own_budget: bool = False


@dataclass(frozen=True, slots=True)
class Parent:
    """A run as its journal stands now, and the table of its results with the bytes in which it is stored."""

    state: ExecutionState
    table: ReuseTable
    body: bytes

    @property
    def root(self) -> RunId:
        return self.state.root


async def read_parent(journal: Journal, contents: Contents, origin: Origin) -> Parent:
    """The parent, which may still be under way. UsageError where there is no such run."""
    _, records = await load_records(journal, contents, origin.run)
    state = fold(await load_spec(contents, records[0]), records)
    table = reuse_table(state, records, leave_out=origin.leave_out)
    return Parent(state, table, write_table(table))


def forked(first: RunStarted, spec: RunSpec, parent: Parent, origin: Origin, account: Mapping[str, int]) -> RunForked:
    """The first record of a fork. `account` is what the account of the root has."""
    budget, granted = spec.plan.budget, NOTHING
    if not origin.own_budget:
        budget, granted = _granted(budget, parent.state.spec.plan.budget, origin.add_budget, account)
    started: dict[str, Any] = {name: getattr(first, name) for name in first.__struct_fields__}
    return RunForked(
        **{**started, "budget": budget, "seed": first.seed or parent.state.seed},
        add_budget=origin.add_budget,
        changes=origin.changes,
        granted=granted,
        left_out=origin.leave_out,
        parent=parent.state.run,
        parent_head=parent.state.head,
        reuse=digest(parent.body),
        root=first.run if origin.own_budget else parent.root,
    )


def _granted(declared: Limits, of_parent: Limits, added: Amount, account: Mapping[str, int]) -> tuple[Limits, Amount]:
    """The limits of a fork, and what its root's account gives of them: what is there, up to what the plan declares.

    What neither the parent limits nor the account knows is limited by the plan alone.
    """
    taken: dict[str, int] = {}
    limits: dict[str, int] = {}
    for dimension in DIMENSIONS:
        own = getattr(declared, dimension)
        if dimension in account or getattr(of_parent, dimension) is not None:
            free = account.get(dimension, 0)
            taken[dimension] = free if own is None else min(free, own)
            limits[dimension] = taken[dimension] + getattr(added, dimension)
        elif own is not None:
            limits[dimension] = own + getattr(added, dimension)
    granted = Amount(**taken)
    return Limits(**limits, time_ms=declared.time_ms), NOTHING if granted == NOTHING else granted
