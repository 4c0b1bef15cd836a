"""What a fork would execute, reuse and could cost, before it is made. Nothing is recorded.

The kernel of the fork is run as far as it goes by itself. A step that begins then is executed for certain, one that
takes a result is reused. What comes after the executed ones may be executed: where their outputs turn out to be what
they were, its key is what it was, and it is reused as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from tenuto.app.build import Store
from tenuto.app.config import Settings
from tenuto.app.editing import Change
from tenuto.app.forecast import DIMENSIONS, Bound, forecast
from tenuto.app.fork_driving import ForkOptions, ready_fork
from tenuto.core.ids import RunId, StepPath, child_path, member_path
from tenuto.core.plan import PlanWork
from tenuto.core.report import executed_steps, is_container, reused_steps
from tenuto.core.reuse_table import OutsideCall
from tenuto.core.spec import RunSpec
from tenuto.core.state import ROOT, ExecutionState

__all__ = ["Foreseen", "Repeated", "foresee_fork"]


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """An outside effect of an earlier run, by its call there, that a step of the fork would ask about."""

    call: str
    step: StepPath
    tool: str


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork would do. `certain` steps are executed in any case, `maybe` ones where the output of one of these
    is another than before. `cost` is the worst case of both, and None where nothing bounds it."""

    parent: RunId
    root: RunId
    changes: tuple[Change, ...]
    unchanged: tuple[str, ...]
    certain: tuple[StepPath, ...]
    maybe: tuple[StepPath, ...]
    reused: tuple[StepPath, ...]
    cost: Bound
    asks: tuple[Repeated, ...]


async def foresee_fork(settings: Settings, store: Store, given: str, options: ForkOptions) -> Foreseen:
    """Say what a fork would do. UsageError and InvalidPlanError where it could not be made."""
    async with ready_fork(settings, store, given, options) as ready:
        state = await ready.engine.foresee(run_id=ready.run, **ready.start)
    statics = _statics(ready.made.state.spec, "")
    begun, reused = executed_steps(state), reused_steps(state)
    rest = list(_unsettled(state, state.spec, ROOT, {*begun, *reused}))
    left_out = {path for path in rest if _below_any(path, ready.made.leave_out)}
    changed = {path for path, static in _statics(state.spec, "").items() if statics.get(path) != static}
    recorded = {entry.path for entry in state.spec.reuse.entries.values()}
    sure = {p for p in rest if p in left_out or p in changed or not any(_below_any(r, (p,)) for r in recorded)}
    certain = (*begun, *(path for path in rest if path in sure))
    maybe = tuple(path for path in rest if path not in sure)
    return Foreseen(
        parent=ready.made.parent,
        root=state.root,
        changes=ready.made.changes,
        unchanged=ready.made.unchanged,
        certain=certain,
        maybe=maybe,
        reused=tuple(reused),
        cost=_cost(state.spec, "", (*certain, *maybe)),
        asks=tuple(_asks(state.spec.reuse.outside_by_step.values(), (*certain, *maybe))),
    )


def _statics(spec: RunSpec, prefix: str) -> dict[StepPath, str]:
    """The part of each step's key that does not depend on the run, by path."""
    found: dict[StepPath, str] = {}
    for step in spec.plan.steps:
        work = step.work
        found[StepPath(f"{prefix}{step.name}")] = spec.static(step.name)
        if isinstance(work, PlanWork) and work.plan is not None:
            found |= _statics(spec.inner(step.name), f"{prefix}{step.name}/")
    return found


def _unsettled(state: ExecutionState, spec: RunSpec, block: StepPath, settled: Collection[str]) -> Iterator[StepPath]:
    """The steps of a plan, in plan order, of which nothing is decided yet; what contains others by its parts."""
    for step in spec.plan.steps:
        yield from _unsettled_at(state, spec, step.name, member_path(block, step.name), settled)


def _unsettled_at(
    state: ExecutionState, spec: RunSpec, name: str, path: StepPath, settled: Collection[str]
) -> Iterator[StepPath]:
    held = state.steps.get(path)
    if path in settled or (held is not None and held.ended):
        return
    if held is not None and held.expansion is not None:
        for key in held.expansion.keys:
            yield from _unsettled_at(state, spec, name, child_path(path, key), settled)
        return
    work = spec.plan.steps[spec.index[name]].work
    loops = (
        spec.plan.steps[spec.index[name]].foreach is not None or spec.plan.steps[spec.index[name]].repeat is not None
    )
    opened = held is not None and is_container(state, held)
    if isinstance(work, PlanWork) and work.plan is not None and (opened or not loops):
        yield from _unsettled(state, spec.inner(name), path, settled)
        return
    yield path


def _below_any(path: str, steps: Collection[str]) -> bool:
    return any(path == step or path.startswith((f"{step}[", f"{step}#", f"{step}/")) for step in steps)


def _cost(spec: RunSpec, prefix: str, steps: Collection[StepPath]) -> Bound:
    """The worst case of these steps. Of a `foreach` as many items as are among them, where that is known."""
    total = dict.fromkeys(DIMENSIONS, 0)
    open_dimensions: set[str] = set()
    for found in forecast(spec).steps:
        path = f"{prefix}{found.step}"
        own = [step for step in steps if _below_any(step, (path,))]
        if not own:
            continue
        work = spec.plan.steps[spec.index[found.step]].work
        inner = isinstance(work, PlanWork) and work.plan is not None and all(s.startswith(f"{path}/") for s in own)
        items = {step[len(path) :].split("]")[0] for step in own if step.startswith(f"{path}[")}
        bound = found.whole
        if inner:
            bound = _cost(spec.inner(found.step), f"{path}/", own)
        for dimension in DIMENSIONS:
            amount = getattr(bound, dimension)
            each, limit = getattr(found.each, dimension), getattr(found.limit, dimension)
            if items and each is not None and path not in own:
                amount = each * len(items) if limit is None else min(limit, each * len(items))
            if amount is None:
                open_dimensions.add(dimension)
            else:
                total[dimension] += amount
    limits = forecast(spec).limit
    amounts: dict[str, int | None] = {}
    for dimension, amount in total.items():
        limit = getattr(limits, dimension)
        bounded = None if dimension in open_dimensions else amount
        amounts[dimension] = limit if bounded is None else bounded if limit is None else min(bounded, limit)
    return Bound(**amounts)


def _asks(outside: Collection[OutsideCall], steps: Collection[StepPath]) -> Iterator[Repeated]:
    for call in outside:
        if any(_below_any(call.step, (step,)) for step in steps):
            yield Repeated(call=call.call, step=call.step, tool=call.tool)
