"""Proofs over recorded runs: replay and verify. No engine, no sandbox, no model and no network is needed."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tenuto.adapters.clock import SystemClock
from tenuto.app.build import Store, guarded_programs
from tenuto.app.config import Settings
from tenuto.app.driving import read_start
from tenuto.app.finding import resolve_run
from tenuto.app.plans import (
    PLAN_PLACE,
    SET_PLACE,
    ReadyPlan,
    model_names,
    plan_directory,
    programs_of,
    ready_plan,
    with_settings,
)
from tenuto.core.ids import RunId
from tenuto.core.models import Grade, ModelProfile
from tenuto.core.plan import Lock, Registry
from tenuto.core.report import worst_grade
from tenuto.core.reuse_table import NOTHING_REUSABLE
from tenuto.core.spec import RunSpec
from tenuto.errors import DamagedStoreError, UsageError
from tenuto.runtime.imported import is_imported
from tenuto.runtime.replay import ReplayReport, VerifyReport, replay, replay_against, verify

if TYPE_CHECKING:
    from tenuto.adapters.programs import PythonPrograms

__all__ = ["grade_of_run", "refuse_outside", "replay_run", "todays", "verify_run"]


async def replay_run(settings: Settings, store: Store, given: str, *, against: Path | None = None) -> ReplayReport:
    """Recompute a run from its record; with `against` under the plan, agents and tools of that directory today.

    The record of an imported run says nothing about this machine's directories, so no program is imported from them.
    """
    run = await resolve_run(store.journal, given)
    started, recorded = await read_start(store, run)
    imported = await is_imported(store.journal, store.artifacts, run)
    if imported and against is not None:
        refuse_outside(recorded)
    if against is None:
        if imported:
            return await replay(store.journal, store.contents, run)
        programs = guarded_programs(plan_directory(recorded.lock.places, Path(started.repository)))
        return await replay(store.journal, store.contents, run, programs)
    spec, programs = await todays(settings, recorded, against)
    return await replay_against(store.journal, store.contents, run, spec, programs)


def refuse_outside(recorded: RunSpec) -> None:
    """UsageError where a record from elsewhere names a plan file that would not be inside the directory given."""
    place = Path(recorded.lock.places.get(PLAN_PLACE, ""))
    if place.is_absolute() or ".." in place.parts:
        raise UsageError("the run's plan was not inside its repository", where=str(place), fix="leave it as it is")


async def grade_of_run(store: Store, run: RunId) -> Grade:
    """How far the models of a run repeat themselves when they are asked; replay asks nobody."""
    _, spec = await read_start(store, run)
    return worst_grade(spec.lock.profiles.values())


async def todays(settings: Settings, recorded: RunSpec, directory: Path) -> tuple[RunSpec, PythonPrograms]:
    """What the run's plan file and all it names come to in `directory`, with what forks have set in it."""
    place = recorded.lock.places.get(PLAN_PLACE)
    if place is None:
        raise UsageError("the run's plan is from no file", fix="replay it without --against")
    ready = await ready_plan(directory / place, directory, sandbox=None, need_sandbox=False)
    plan, agents = with_settings(ready.plan, ready.agents, ready.directory, recorded.lock.places)
    programs = guarded_programs(ready.directory)
    loaded = {name: programs.load(target) for name, target in programs_of(plan)}
    known = recorded.lock.profiles
    names = model_names(plan, agents, recorded.lock.model)
    was_set = {part: text for part, text in recorded.lock.places.items() if part.startswith(SET_PLACE)}
    lock = Lock(
        at_once=recorded.lock.at_once,
        code={name: program.code for name, program in loaded.items()},
        guarded=recorded.lock.guarded,
        model=recorded.lock.model,
        modules={name: program.modules for name, program in loaded.items() if program.modules is not None},
        places={**ready.places, **_tool_places(ready), **was_set},
        profiles={name: _todays_profile(settings, known.get(name), name) for name in sorted(names)},
        sandbox=recorded.lock.sandbox,
        strict=recorded.lock.strict,
    )
    tools = {spec.name: spec for spec in ready.tools.specs()}
    current = RunSpec(plan, Registry(agents=dict(agents), tools=tools), lock, recorded.logic)
    is_fork = recorded.reuse is not NOTHING_REUSABLE
    return current.forked(recorded.plan.budget, recorded.reuse) if is_fork else current, programs


def _tool_places(ready: ReadyPlan) -> dict[str, str]:
    """Where the Python tools are defined, as `file:line` beside the plan."""
    found: dict[str, str] = {}
    for name, tool in ready.tools.items():
        function = getattr(tool, "function", None)
        code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
        if code is not None:
            file, beside = os.path.realpath(code.co_filename), os.path.realpath(ready.directory)
            shown = os.path.relpath(file, beside) if Path(file).is_relative_to(beside) else Path(file).name
            found[f"tools.{name}"] = f"{shown}:{code.co_firstlineno}"
    return found


_UNASKED = ("local:", "replay:", "scripted:")
"""Models whose profile is in files that are not looked for: it is as it was."""


def _todays_profile(settings: Settings, known: ModelProfile | None, name: str) -> ModelProfile:
    """What would be sent to a model now; what a run was charged by (prices, overhead, grade) stays as it was."""
    if known is None:
        return _profile(settings, name)
    if name.startswith(_UNASKED):
        return known
    now = _profile(settings, name)
    if now == ModelProfile(name=name):
        return known
    return replace(known, accepts=now.accepts, default_max_tokens=now.default_max_tokens)


def _profile(settings: Settings, name: str) -> ModelProfile:
    """What is known here of a model that the run did not use; replay asks it nothing, so unknown is enough."""
    from tenuto.app.providers import model_directory

    try:
        return model_directory(settings, SystemClock(), scripts=(Path(),), recorded={}).profile(name)
    except UsageError:
        return ModelProfile(name=name)


async def verify_run(store: Store, given: str, *, head: str | None = None) -> VerifyReport:
    """Check every record and body of a run; `head`, kept elsewhere, also shows a store that was rolled back."""
    run = await resolve_run(store.journal, given)
    report = await verify(store.journal, store.contents, run)
    if head is not None and report.journal_digest != head:
        hashes = {row.hash async for row in store.journal.read(run)}
        if head not in hashes:
            raise DamagedStoreError(
                "the journal does not hold the head that was exported",
                where=f"run {run}, head {head[:16]}",
                fix="restore the store from a copy",
            )
    return report
