"""Starting forks: with the plan, registry and lock that the parent had, but for what was asked to be another."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenuto.app.amounts import require_limited
from tenuto.app.build import Store, build_engine, build_toolbox, choose_sandbox, guarded_programs
from tenuto.app.config import Settings
from tenuto.app.driving import Drive, listen_to, recorded_of, refuse_existing, require_granted
from tenuto.app.editing import Change, code_differs
from tenuto.app.finding import check_run_id, new_run_id
from tenuto.app.forking import NO_CHANGES, ForkChanges, ForkPlan, fork_plan
from tenuto.app.plans import model_names, programs_of, tool_modules
from tenuto.app.providers import require_keys
from tenuto.core.budget import NOTHING, Amount
from tenuto.core.ids import RunId
from tenuto.core.plan import every_step
from tenuto.core.problems import shorten
from tenuto.errors import UsageError
from tenuto.runtime.forking import Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tenuto.adapters.tools.toolbox import Toolbox
    from tenuto.core.state import ExecutionState
    from tenuto.runtime.engine import PlanExecutionEngine

__all__ = ["ForkOptions", "fork_run", "ready_fork"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkOptions:
    """How a fork is to be started."""

    changes: ForkChanges = NO_CHANGES
    run: str | None = None
    add_budget: Amount = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyFork:
    """An engine, and what it starts the fork with (`PlanExecutionEngine.execute`)."""

    made: ForkPlan
    engine: PlanExecutionEngine
    run: RunId
    start: dict[str, Any]


async def fork_run(
    settings: Settings, store: Store, given: str, options: ForkOptions, drive: Drive
) -> ExecutionState:
    """Make a fork of a run and drive it. Errors before the first record are UsageErrors, and nothing is kept then."""
    drive.stopper.before()
    async with ready_fork(settings, store, given, options) as ready:
        await refuse_existing(store, ready.run)
        listen_to(ready.engine, drive)
        return await ready.engine.execute(run_id=ready.run, **ready.start)


@asynccontextmanager
async def ready_fork(settings: Settings, store: Store, given: str, options: ForkOptions) -> AsyncIterator[ReadyFork]:
    """All that a fork needs, resolved and checked; nothing of it is recorded yet."""
    made = await fork_plan(settings, store, given, options.changes)
    lock = made.state.spec.lock
    require_granted(settings, (step for _, step in every_step(made.plan)))
    require_limited(made.plan.budget, options.add_budget, 0)
    run = new_run_id(made.plan.name) if options.run is None else check_run_id(options.run)
    names = model_names(made.plan, made.agents, lock.model)
    require_keys(settings, names)
    # A record from elsewhere does not decide that commands run unconfined here.
    preference = "none" if lock.sandbox == "none" and not made.imported else settings.sandbox
    sandbox = await choose_sandbox(made.plan, made.agents, preference)
    repository = made.repository or Path()
    toolbox = build_toolbox(tool_modules(made.plan), made.directory, sandbox, repository=repository)
    _refuse_changed_code(made, toolbox)
    engine = build_engine(
        settings,
        store,
        toolbox=toolbox,
        directory=made.directory,
        sandbox="" if sandbox is None else sandbox.name,
        recorded=await recorded_of(store, names),
    )
    start: dict[str, Any] = {
        "plan": made.plan,
        "repo": made.tree if made.repository is None else made.repository,
        "tree": made.tree,
        "inputs": made.inputs,
        "agents": made.agents,
        "places": made.places,
        "model": lock.model,
        "seed": None,
        "max_parallel": settings.max_parallel,
        "commit": made.commit,
        "strict": lock.strict or settings.strict,
        "origin": Origin(
            run=made.parent,
            leave_out=made.leave_out,
            changes=tuple(map(_told, made.changes)),
            add_budget=options.add_budget,
        ),
    }
    try:
        yield ReadyFork(made=made, engine=engine, run=run, start=start)
    finally:
        await engine.close()


def _told(change: Change) -> str:
    return f"{change.part}: {change.what} by {change.by}"


# --- code ---------------------------------------------------------------------------------------------------------


def _refuse_changed_code(made: ForkPlan, toolbox: Toolbox) -> None:
    """UsageError where Python code is another than the parent ran, and nobody said that it shall count.

    Its file may be named by --edit, and of a step program the step by --from.
    """
    named = {change.part for change in made.changes}
    for part, step, file in _changed_code(made, toolbox):
        if part not in named and step not in made.leave_out:
            shown = shorten(os.path.relpath(file))
            again = f", or its step by --from {step}" if step else ""
            raise UsageError(
                "its code, or a module that it imports, has changed since the run",
                where=f"{part} ({shown})",
                fix=f"name the file with --edit {shown}{again}, or restore it",
            )


def _changed_code(made: ForkPlan, toolbox: Toolbox) -> Iterator[tuple[str, str, str]]:
    """Part of the plan, step (of programs) and file of what is not as the parent's lock and registry have it."""
    recorded = made.state.spec
    programs = guarded_programs(made.directory)
    for path, target in programs_of(made.plan):
        if code_differs(recorded, path, programs.load(target)):
            yield f"steps.{path}.uses", path, inspect.getsourcefile(programs.load(target).function) or target
    for name, spec in recorded.registry.tools.items():
        tool = toolbox.get(name)
        if tool is not None and tool.spec != spec and spec.tool_id.startswith("python:"):
            function: Any = inspect.unwrap(getattr(tool, "function", lambda: None))
            yield f"tools.{name}", "", inspect.getsourcefile(function) or spec.tool_id
