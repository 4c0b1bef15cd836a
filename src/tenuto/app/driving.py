"""Starting and resuming runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenuto.adapters.plans.text import no_file
from tenuto.app.amounts import require_limited
from tenuto.app.build import Store, build_engine, build_toolbox, choose_sandbox, make_store
from tenuto.app.config import Settings
from tenuto.app.finding import check_run_id, new_run_id, resolve_run
from tenuto.app.plans import ReadyPlan, check_json_inputs, model_names, plan_directory, ready_plan, tool_modules
from tenuto.app.providers import require_keys
from tenuto.core.budget import NOTHING, Amount
from tenuto.core.events.run import RunStarted
from tenuto.core.ids import RunId
from tenuto.core.plan import Step, every_step
from tenuto.core.plan_inputs import check_inputs
from tenuto.core.problems import shorten
from tenuto.core.records import GENESIS
from tenuto.core.spec import RunSpec
from tenuto.errors import DivergedError, UsageError
from tenuto.runtime.forking import Origin
from tenuto.runtime.imported import refuse_imported

if TYPE_CHECKING:
    from tenuto.core.state import ExecutionState
    from tenuto.ports.model import ModelProvider
    from tenuto.runtime.engine import PlanExecutionEngine
    from tenuto.runtime.live_text import LiveText
    from tenuto.runtime.pacing import ProviderRests
    from tenuto.runtime.published import Published

__all__ = [
    "Drive",
    "RunOptions",
    "Stopper",
    "engine_of",
    "listen_to",
    "read_start",
    "recorded_of",
    "refuse_existing",
    "require_granted",
    "resume_run",
    "start_ready",
    "start_run",
]

Listener = Callable[["Published"], None]


class Stopper:
    """The one place that a signal reaches: stops the engine, or what goes on before there is one."""

    def __init__(self) -> None:
        self.stopped = False
        self.engine: PlanExecutionEngine | None = None
        self._task: asyncio.Task[Any] | None = None

    def stop(self) -> None:
        """Leave the run resumable. Before its first record there is nothing to leave: the work is cancelled."""
        self.stopped = True
        if self.engine is not None:
            self.engine.stop()
        elif self._task is not None:
            self._task.cancel()

    def before(self) -> None:
        """From here on, until `started`, `stop` cancels the current task."""
        self._task = asyncio.current_task()

    def started(self, engine: PlanExecutionEngine) -> None:
        """The run has its first record."""
        self.engine = engine
        if self.stopped:
            engine.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is to be started. `reuse` names a run of which results are taken where the step key is equal."""

    plan: Path
    repository: Path
    run: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    seed: str | None = None
    reuse: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """What a drive of a run needs from whoever shows it: `named` learns the run's id with its first
    durable record, `listen` hears every record, `watch` sees answers of models on their way,
    `rests` hears of providers that are let rest."""

    listen: Listener
    named: Callable[[RunId], None]
    stopper: Stopper
    rests: Callable[[ProviderRests], None] | None = None
    watch: Callable[[LiveText], None] | None = None


async def start_run(settings: Settings, store: Store, options: RunOptions, drive: Drive) -> ExecutionState:
    """Start a run and drive it. Errors before the first record are UsageErrors, and nothing is kept then."""
    drive.stopper.before()
    repository = _repository(options.repository)
    ready = await ready_plan(options.plan, repository, sandbox=settings.sandbox, secrets=settings.secrets)
    return await start_ready(settings, store, ready, options, drive)


async def start_ready(
    settings: Settings, store: Store, ready: ReadyPlan, options: RunOptions, drive: Drive, *, deps: Any = None
) -> ExecutionState:
    """As `start_run`, for a plan that has been resolved already; `deps` is what its programs find as `ctx.deps`."""
    from tenuto.adapters.workspace.git import read_head

    drive.stopper.before()
    repository = _repository(options.repository)
    require_granted(settings, (step for _, step in every_step(ready.plan)))
    run = new_run_id(ready.plan.name) if options.run is None else check_run_id(options.run)
    await refuse_existing(store, run)
    check_json_inputs(ready.plan, options.inputs)
    inputs = check_inputs(ready.plan, options.inputs)
    origin = None
    if options.reuse is not None:
        origin = Origin(run=await resolve_run(store.journal, options.reuse), own_budget=True)
    require_keys(settings, model_names(ready.plan, ready.agents, settings.model))
    make_store(store.path)
    engine = await _engine(settings, store, ready, deps)
    try:
        commit = await read_head(repository, settings.variables)
        listen_to(engine, drive)
        return await engine.execute(
            ready.plan,
            repository,
            run,
            inputs=inputs,
            agents=ready.agents,
            places=ready.places,
            model=settings.model,
            seed=options.seed,
            max_parallel=settings.max_parallel,
            commit=commit,
            strict=settings.strict,
            origin=origin,
        )
    finally:
        await engine.close()


def require_granted(settings: Settings, steps: Iterable[Step]) -> None:
    """UsageError where a step is granted a secret that has no value here."""
    names = {name for step in steps for name in step.grants.secrets}
    if names:
        from tenuto.app.secrets import require_secrets

        require_secrets(settings, names)


async def _engine(settings: Settings, store: Store, ready: ReadyPlan, deps: Any) -> PlanExecutionEngine:
    sandbox = "" if ready.sandbox is None else ready.sandbox.name
    names = model_names(ready.plan, ready.agents, settings.model)
    recorded = await recorded_of(store, names)
    return build_engine(
        settings,
        store,
        toolbox=ready.tools,
        directory=ready.directory,
        sandbox=sandbox,
        recorded=recorded,
        deps=deps,
    )


async def recorded_of(store: Store, names: Iterable[str]) -> Mapping[str, ModelProvider]:
    """The models among these names that answer from a recorded run."""
    if not any(name.startswith("replay:") for name in names):
        return {}
    from tenuto.app.recorded import recorded_models

    return await recorded_models(store, names)


async def resume_run(
    settings: Settings,
    store: Store,
    given: str,
    drive: Drive,
    *,
    add_budget: Amount = NOTHING,
    add_time_ms: int = 0,
    max_parallel: int | None = None,
) -> ExecutionState:
    """Continue a run where its journal ends, with the plan, registry and lock it was started with."""
    drive.stopper.before()
    run = await resolve_run(store.journal, given)
    await refuse_imported(store.journal, store.artifacts, run)
    started, spec = await read_start(store, run)
    require_limited(spec.plan.budget, add_budget, add_time_ms)
    engine = await engine_of(settings, store, spec, Path(started.repository))
    try:
        listen_to(engine, drive)
        return await engine.resume(run, add_budget=add_budget, add_time_ms=add_time_ms, max_parallel=max_parallel)
    finally:
        await engine.close()


async def engine_of(settings: Settings, store: Store, spec: RunSpec, repository: Path) -> PlanExecutionEngine:
    """An engine with the tools and the sandbox that a stored run needs. DivergedError where a tool has changed."""
    directory = plan_directory(spec.lock.places, repository)
    sandbox = None
    if "run" in spec.registry.tools:
        sandbox = await choose_sandbox(
            spec.plan, spec.registry.agents, "none" if spec.lock.sandbox == "none" else settings.sandbox
        )
    toolbox = build_toolbox(tool_modules(spec.plan), directory, sandbox, repository=repository)
    for name, recorded in spec.registry.tools.items():
        current = toolbox.get(name)
        if current is not None and current.spec != recorded:
            raise DivergedError(
                f"the tool {name} has changed since the run started",
                where=recorded.tool_id,
                fix="put the old code back to resume, or start a new run",
            )
    models = await recorded_of(store, spec.lock.profiles)
    return build_engine(
        settings, store, toolbox=toolbox, directory=directory, sandbox=spec.lock.sandbox, recorded=models
    )


async def read_start(store: Store, run: RunId) -> tuple[RunStarted, RunSpec]:
    """The first record of a run, and what it started with."""
    from tenuto.runtime.loading import checked, load_spec

    async for row in store.journal.read(run, upto=0):
        record = checked(run, row, GENESIS, 0)
        spec = await load_spec(store.contents, record)
        assert isinstance(record.event, RunStarted)
        return record.event, spec
    raise UsageError(f"run {run} has no records", fix="see `tenuto verify`")


def listen_to(engine: PlanExecutionEngine, drive: Drive) -> None:
    """Let whoever shows the run hear what the engine publishes."""
    from tenuto.runtime.published import Published

    def hear(published: Published) -> None:
        if drive.stopper.engine is not engine:
            drive.stopper.started(engine)
            drive.named(published.run)
        drive.listen(published)

    engine.bus.on(Published, hear)
    if drive.rests is not None:
        from tenuto.runtime.pacing import ProviderRests

        engine.live.on(ProviderRests, drive.rests)
    if drive.watch is not None:
        from tenuto.runtime.live_text import LiveText

        engine.live.on(LiveText, drive.watch)


def _repository(path: Path) -> Path:
    if not path.is_dir():
        raise UsageError(
            f"the repository {no_file(path, 'a directory')}", where=str(path), fix="name a directory by --repo"
        )
    return Path(os.path.abspath(path))


async def refuse_existing(store: Store, run: RunId) -> None:
    """UsageError where the store has a run of that id."""
    if (store.path / "journal.db").exists() and any(entry.run == run for entry in await store.journal.runs()):
        raise UsageError(
            f"the run {shorten(run)} exists already", fix=f"choose another id, or continue it: `tenuto resume {run}`"
        )
