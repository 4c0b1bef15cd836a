"""Running a plan from Python in a few lines, with the settings, the store and the checks of the command line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan
from tenuto.core.report import report, status_of
from tenuto.core.state import ExecutionState
from tenuto.errors import UsageError

if TYPE_CHECKING:
    from tenuto.app.config import Settings
    from tenuto.app.plans import ReadyPlan
    from tenuto.ports.tools import Tool
    from tenuto.runtime.published import Published

__all__ = ["Ran", "run", "run_sync"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ran:
    """How `run` left a run: ended, exhausted, paused, or waiting for a person. `state` is all that is known."""

    state: ExecutionState

    @property
    def run(self) -> str:
        """The run's id, for `tenuto show`, `resume` and `apply`."""
        return self.state.run

    @property
    def status(self) -> str:
        """`ok`, `failed`, `cancelled`, `exhausted`, `waiting` or `paused`."""
        return status_of(self.state)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def error(self) -> str:
        """Why the run failed; empty where it did not."""
        return self.state.why

    @property
    def outputs(self) -> dict[str, Any]:
        """The plan's outputs; empty where the run has none yet."""
        outputs: dict[str, Any] = {} if self.state.outputs is None else self.state.outputs.value
        return outputs

    def output(self, step: str) -> Any:
        """What a step gave, by its path; None where it gave nothing. UsageError where there is no such step."""
        found = next((known for path, known in self.state.steps.items() if path == step), None)
        if found is None:
            raise UsageError("this run has no such step", where=step, fix="name one of Ran.report()['steps']")
        return None if found.output is None else found.output.value

    def report(self) -> dict[str, Any]:
        """The object that `tenuto show --json` prints."""
        return report(self.state)


async def run(
    plan: Plan | Path | str,
    inputs: Mapping[str, Any] | None = None,
    *,
    agents: Iterable[AgentSpec] = (),
    tools: Iterable[Tool] = (),
    deps: Any = None,
    model: str | None = None,
    repository: Path | str = ".",
    store: Path | str | None = None,
    name: str | None = None,
    seed: str | None = None,
    reuse: str | None = None,
    max_parallel: int | None = None,
    sandbox: str | None = None,
    listen: Callable[[Published], None] | None = None,
) -> Ran:
    """Run a plan, or the plan file of that path, as `tenuto run` does; give back how it was left.

    Settings are read as there (`TENUTO_*`, `tenuto.toml`), and arguments go before them: `model` is used for
    everything, `store` is `.tenuto` in the project, `name` is the run's id. Where nothing names a model, `mock:`
    answers. `reuse` names a run of which results are taken where nothing has changed. `agents` and `tools` join
    those of the plan. `deps` is what step programs that ask for it find as `ctx.deps`; it is not recorded. `tenuto
    resume` has neither `deps` nor these `tools`. `listen` hears every durable record. A cancelled task leaves the
    run resumable. TenutoError where the run cannot start or go on; what fails in it is in `Ran`.
    """
    from tenuto.app.build import open_store
    from tenuto.app.config import read_settings
    from tenuto.app.driving import Drive, RunOptions, Stopper, start_ready

    root = _absolute(repository)
    flags = {"max_parallel": max_parallel, "model": model, "sandbox": sandbox, "store": store and str(store)}
    settings = read_settings(root, {key: value for key, value in flags.items() if value is not None})
    ready = await _ready(plan, tuple(agents), tuple(tools), root, settings)
    opened = open_store(settings, create=True)
    options = RunOptions(plan=Path(), repository=root, run=name, inputs=dict(inputs or {}), seed=seed, reuse=reuse)
    drive = Drive(listen=listen or (lambda _: None), named=lambda _: None, stopper=Stopper())
    try:
        return Ran(await start_ready(settings, opened, ready, options, drive, deps=deps))
    finally:
        await opened.close()


def _blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(function(*args, **kwargs))
        raise UsageError("an event loop is running here", where="run_sync", fix="await tenuto.run(...) instead")

    return call


run_sync = _blocking(run)
"""As `run`, for code that is not async. UsageError inside a running event loop."""


def _absolute(path: Path | str) -> Path:
    return Path(os.path.abspath(path))


async def _ready(
    plan: Plan | Path | str,
    agents: tuple[AgentSpec, ...],
    tools: tuple[Tool, ...],
    root: Path,
    settings: Settings,
) -> ReadyPlan:
    """The plan with all it names, checked. A plan that is built in Python finds its modules in the repository."""
    from tenuto.adapters.plans.plan_file import LoadedPlan, load_plan
    from tenuto.app.plans import PLAN_PLACE, plan_place, ready_loaded

    place: dict[str, str] = {}
    if isinstance(plan, Plan):
        loaded = LoadedPlan(plan, {}, {}, root)
    else:
        loaded = load_plan(Path(plan))
        place = {PLAN_PLACE: plan_place(Path(plan), root)}
    for agent in agents:
        if loaded.agents.setdefault(agent.name, agent) != agent:
            raise UsageError(f"two agents are named {agent.name}", where="agents", fix="rename one")
    return await ready_loaded(
        loaded, root, sandbox=settings.sandbox, secrets=settings.secrets, place=place, more=tools
    )
