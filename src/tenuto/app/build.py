"""The composition root: opens a store and wires an engine. Nothing heavy is imported before it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.stores.files import FileArtifactStore
from tenuto.adapters.stores.sqlite import SqliteJournal
from tenuto.app.config import Settings
from tenuto.app.providers import model_directory, provider_limits
from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan, PlanWork, PromptWork, RunWork, UsesWork, Work, every_step, plans_within
from tenuto.core.redaction import NOTHING_SECRET, Redactor
from tenuto.errors import SandboxUnavailableError, StorageError, UsageError
from tenuto.ports.artifacts import ArtifactStore
from tenuto.ports.journal import Journal
from tenuto.runtime.contents import Contents

if TYPE_CHECKING:
    from tenuto.adapters.programs import PythonPrograms
    from tenuto.adapters.tools.toolbox import Toolbox
    from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
    from tenuto.core.repetition import Repeatable
    from tenuto.ports.model import ModelProvider
    from tenuto.ports.tools import Sandbox, Tool
    from tenuto.runtime.engine import PlanExecutionEngine

__all__ = [
    "Store",
    "build_engine",
    "build_toolbox",
    "choose_sandbox",
    "guarded_programs",
    "has_journal",
    "make_store",
    "open_store",
    "open_workspace",
]


@dataclass(frozen=True, slots=True)
class Store:
    """What lies in `.tenuto`: the journals, the artifacts, one view of the bodies of both, and what may not enter."""

    path: Path
    journal: Journal
    artifacts: ArtifactStore
    contents: Contents
    redactor: Redactor = NOTHING_SECRET

    async def close(self) -> None:
        await self.journal.close()


def open_store(settings: Settings, *, create: bool = False) -> Store:
    """Open the store of these settings. A missing one is a UsageError, or with `create` made by `make_store`."""
    path = settings.store
    if not has_journal(settings) and not create:
        what = "this directory holds no store of runs" if path.exists() else "there is no store of runs"
        raise UsageError(what, where=str(path), fix="start a run first (`tenuto run PLAN`), or name it by --store")
    journal = SqliteJournal(path / "journal.db", SystemClock())
    artifacts = FileArtifactStore(path / "artifacts")
    redactor = NOTHING_SECRET
    if settings.secrets or settings.secret_patterns:
        from tenuto.app.secrets import redactor_of

        redactor = redactor_of(settings)
    return Store(path, journal, artifacts, Contents(journal, artifacts), redactor)


def has_journal(settings: Settings) -> bool:
    """Whether there is a store. StorageError where nobody may look."""
    try:
        return (settings.store / "journal.db").exists()
    except OSError as error:
        raise StorageError(
            f"cannot be read ({error.strerror})", where=str(settings.store), fix="check its permissions"
        ) from None


def make_store(path: Path) -> None:
    """Make the store's directory, and in it the rule that keeps it out of git. Idempotent. StorageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        ignore = path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
    except OSError as error:
        raise StorageError(
            f"the store cannot be made ({error.strerror})", where=str(path), fix="name another place by --store"
        ) from None


def open_workspace(store: Store) -> TreeWorkspace:
    from tenuto.adapters.workspace.tree_workspace import TreeWorkspace

    return TreeWorkspace(store.contents, store.path / "work", redactor=store.redactor)


async def choose_sandbox(plan: Plan, agents: Mapping[str, AgentSpec], preference: str | None) -> Sandbox | None:
    """The sandbox that the plan's commands run in; None where it has none and the machine neither.

    SandboxUnavailableError where the plan runs commands and no sandbox works here.
    """
    works = [step.work for _, step in every_step(plan)]
    needed = any(isinstance(work, RunWork) for work in works)
    needed = needed or any("run" in agent.tools for agent in _used_agents(works, agents))
    wanted = needed or any(isinstance(work, UsesWork) or _is_open(work) for work in works)
    if not wanted:
        return None
    from tenuto.adapters.sandboxes.finding import find_sandbox, require_repetition

    try:
        found = await find_sandbox(_preference(preference))
    except SandboxUnavailableError:
        if needed:
            raise
        return None
    if any(spec is not None and spec.on for spec in _asked_to_repeat(plan)):
        await require_repetition(found)
    return found


def _asked_to_repeat(plan: Plan) -> Iterator[Repeatable | None]:
    for _, part in plans_within(plan):
        yield part.defaults.repeatable
        yield from (step.repeatable for step in part.steps)


def _used_agents(works: Sequence[Work], agents: Mapping[str, AgentSpec]) -> list[AgentSpec]:
    """The agents that a run may call: those its steps name, or all where a program or a plan to come may."""
    if any(isinstance(work, UsesWork) or _is_open(work) for work in works):
        return list(agents.values())
    named = {work.agent for work in works if isinstance(work, PromptWork)}
    named |= {other for name in named if name and name in agents for other in agents[name].fallbacks}
    return [agent for name, agent in agents.items() if name in named]


def _is_open(work: Work) -> bool:
    """Whether the work is a plan that only a step of the run will produce."""
    return isinstance(work, PlanWork) and work.plan is None


def _preference(name: str | None) -> Literal["bubblewrap", "sandlock", "none"] | None:
    match name:
        case None | "":
            return None
        case "bubblewrap" | "sandlock" | "none":
            return name
        case _:
            raise UsageError(f"there is no sandbox {name}", fix="use bubblewrap, sandlock or none")


def build_toolbox(
    modules: Sequence[str],
    directory: Path,
    sandbox: Sandbox | None,
    *,
    repository: Path,
    more: Sequence[Tool] = (),
) -> Toolbox:
    """The built-in tools, `run` where there is a sandbox, the functions of the plan's modules, and `more`."""
    from tenuto.adapters.tools.changing import DeleteFileTool, EditFileTool, MoveFileTool, WriteFileTool
    from tenuto.adapters.tools.files import ReadFileTool
    from tenuto.adapters.tools.listing import GlobTool, ListFilesTool
    from tenuto.adapters.tools.patching import ApplyPatchTool
    from tenuto.adapters.tools.searching import SearchFilesTool
    from tenuto.adapters.tools.toolbox import Toolbox

    tools: list[Tool] = [ReadFileTool(), ListFilesTool(), GlobTool(), SearchFilesTool()]
    tools += [WriteFileTool(), EditFileTool(), ApplyPatchTool(), DeleteFileTool(), MoveFileTool()]
    if sandbox is not None:
        from tenuto.adapters.tools.commands import RunTool

        tools.append(RunTool(sandbox, granted_below=repository))
    for module in modules:
        from tenuto.adapters.tools.loading import load_function_tools

        tools.extend(load_function_tools(module, directory))
    return Toolbox([*tools, *more])


def build_engine(
    settings: Settings,
    store: Store,
    *,
    toolbox: Toolbox,
    directory: Path,
    sandbox: str,
    recorded: Mapping[str, ModelProvider],
    deps: Any = None,
) -> PlanExecutionEngine:
    """An engine over a store. `directory` is the plan's, for its Python modules; `recorded` maps `replay:RUN`.

    `deps` is what step programs find as `ctx.deps`.
    """
    from tenuto.adapters.plans.produced import ProducedPlans
    from tenuto.adapters.workspace.pool import remove_dead
    from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
    from tenuto.runtime.engine import PlanExecutionEngine

    remove_dead(store.path / "work")
    clock = SystemClock()
    return PlanExecutionEngine(
        journal=store.journal,
        artifacts=store.artifacts,
        models=model_directory(settings, clock, scripts=(Path(), directory), recorded=recorded),
        tools=toolbox,
        workspace=lambda contents: TreeWorkspace(contents, store.path / "work", redactor=store.redactor),
        clock=clock,
        plans=ProducedPlans(),
        programs=guarded_programs(directory, deps),
        max_parallel=settings.max_parallel,
        providers=provider_limits(settings),
        environment=settings.variables,
        secrets=_secrets(settings),
        redactor=store.redactor,
        sandbox=sandbox,
    )


def guarded_programs(directory: Path, deps: Any = None) -> PythonPrograms:
    """The programs of a plan in that directory, watched while they run."""
    from tenuto.adapters.guard.auditing import AuditGuard
    from tenuto.adapters.programs import PythonPrograms

    return PythonPrograms([directory], deps, AuditGuard())


def _secrets(settings: Settings) -> Mapping[str, str]:
    if not settings.secrets:
        return {}
    from tenuto.app.secrets import values_of

    return values_of(settings)
