"""What is said of a divergence: what differs, both sides as JSON values, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import zip_longest
from typing import Any, NamedTuple

from tenuto.core.events import Event, Input
from tenuto.core.events.program import StepAdvanced
from tenuto.core.ids import StepPath, split_position
from tenuto.core.spec import RunSpec
from tenuto.core.state import ROOT, ExecutionState
from tenuto.runtime.changed_parts import changed_place
from tenuto.runtime.compared import as_data

__all__ = ["Divergence", "DivergenceFoundError", "another_record", "first_other_ask", "unequal"]


class Divergence(NamedTuple):
    """The first difference. `where` is the place in the plan, prompt or program; the two sides are JSON values."""

    seq: int
    step: str | None
    call: str | None
    what: str
    where: str
    recorded: Any
    current: Any


class DivergenceFoundError(Exception):
    """Ends a replay at its first difference; never leaves it."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.what)
        self.divergence = divergence


def another_record(
    state: ExecutionState,
    before: RunSpec | None,
    seq: int,
    recorded: Event | None,
    current: Event | None,
    what: str,
    *,
    call: str | None = None,
) -> DivergenceFoundError:
    """One side has another record than the other, or none. `before` is the recorded plan, against another one."""
    shown = current if current is not None else recorded
    step, at = _place(shown)
    if at is None and _place(recorded)[0] == step:
        at = _place(recorded)[1]  # a call that is not made now
    return DivergenceFoundError(
        Divergence(
            seq,
            step,
            call or at,
            what,
            _where(state, before, shown),
            None if recorded is None else {type(recorded).__name__: as_data(recorded)},
            None if current is None else {type(current).__name__: as_data(current)},
        )
    )


def unequal(
    state: ExecutionState, before: RunSpec | None, seq: int, event: Event, old: dict[str, Any], new: dict[str, Any]
) -> DivergenceFoundError:
    """Both sides have a record of one kind, and it is not the same: only what differs is shown."""
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    was, now = old.get("config") or {}, new.get("config") or {}
    named = {*changed, *(key for key in {*was, *now} if was.get(key) != now.get(key))}
    return DivergenceFoundError(
        Divergence(
            seq,
            *_place(event),
            f"{type(event).__name__} differs in {', '.join(changed)}",
            _where(state, before, event, named),
            {name: old.get(name) for name in changed},
            {name: new.get(name) for name in changed},
        )
    )


def first_other_ask(recorded: StepAdvanced, current: StepAdvanced) -> str | None:
    """The call of the first ask that is not the recorded one."""
    pairs = zip_longest(recorded.asks, current.asks)
    ask = next((new or old for old, new in pairs if old != new), None)
    return None if ask is None else f"{current.path}/{current.attempt}/{ask.ordinal}"


def _where(
    state: ExecutionState, before: RunSpec | None, event: Event | Input | None, differing: Collection[str] = ()
) -> str:
    if isinstance(event, StepAdvanced) and event.at:
        return event.at
    path, _ = _place(event)
    names = _names(state, path)
    spec = state.spec
    if before is not None and (place := changed_place(before, spec, names, differing)):
        return place
    if not names:
        return ""
    part = "steps." + ".plan.steps.".join(names)
    if "sent" in differing:  # what is known of the model has changed, not the plan
        return spec.place(f"{part}.model") or spec.place("defaults.model") or spec.place(part)
    kinds = (f"{part}.{key}" for key in ("prompt", "run", "uses", "plan", "approval", "wait"))
    return next(filter(None, map(spec.place, kinds)), spec.place(part) or spec.place(f"steps.{names[0]}"))


def _names(state: ExecutionState, path: str | None) -> list[str]:
    """The names of the steps that lead to a path, the outermost first."""
    names: list[str] = []
    step = None if path is None else state.steps.get(StepPath(path))
    while step is not None:
        names.insert(0, step.name)
        step = None if step.block == ROOT else state.steps.get(step.block)
    if path and not names:
        names = [re.split(r"[/\[#]", path, maxsplit=1)[0]]
    return names


def _place(event: Event | None) -> tuple[str | None, str | None]:
    """Step and call of an event, where it has them."""
    call = getattr(event, "call", None)
    if call is not None:
        return str(split_position(call)[0]), str(call)
    path = getattr(event, "path", None)
    return (None if path is None else str(path)), None
