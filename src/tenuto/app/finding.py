"""Runs by the names people use: whole ids, their beginnings, `@last`; and new ids."""

from __future__ import annotations

import base64
import os
import re

from tenuto.core.ids import RunId
from tenuto.core.problems import shorten
from tenuto.errors import UsageError
from tenuto.ports.journal import Journal

__all__ = ["check_run_id", "new_run_id", "resolve_run"]

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_PLAIN = re.compile(r"[^a-z0-9]+")
SHOWN_MAX = 5


def new_run_id(plan: str) -> RunId:
    """A short id that no other run has: `r-fix-issue-k3x7qa`."""
    name = _PLAIN.sub("-", plan.lower()).strip("-")[:32].strip("-") or "plan"
    tail = base64.b32encode(os.urandom(4)).decode().lower()[:6]
    return RunId(f"r-{name}-{tail}")


def check_run_id(given: str) -> RunId:
    """A run's id as somebody gives it. UsageError."""
    if not _RUN.match(given):
        raise UsageError(
            f"{shorten(given)!r} cannot be a run's id", fix="use at most 100 letters, digits, dots, _ and -"
        )
    return RunId(given)


async def resolve_run(journal: Journal, given: str) -> RunId:
    """The one run that `given` names: its id, `@last` (the newest), or a beginning that no other run has."""
    runs = [entry.run for entry in await journal.runs()]
    if given == "@last":
        if not runs:
            raise UsageError("the store holds no run", fix="start one: `tenuto run PLAN`")
        return runs[-1]
    if given in runs:
        return RunId(given)
    found = [run for run in runs if given and run.startswith(given)]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:SHOWN_MAX]) + (", ..." if len(found) > SHOWN_MAX else "")
        raise UsageError(f"{len(found)} runs begin with {shorten(given)}: {shown}", fix="write more of the id")
    # Asked for by its whole name, so that a lost or deleted run is told apart from one that never was.
    await journal.head(RunId(given))
    raise UsageError(f"there is no run {shorten(given)}", fix="`tenuto ls` lists the runs of this store")
