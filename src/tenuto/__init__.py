"""tenuto executes plans with teams of LLM agents over a repository, and makes every run exact.

The public names are imported when they are first used: `import tenuto` itself costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; importing typing would be most of what `import tenuto` costs
if TYPE_CHECKING:
    from tenuto.adapters import building as build
    from tenuto.adapters.building.agents import agent
    from tenuto.adapters.clock import SystemClock
    from tenuto.adapters.models.local import LocalModelAdapter
    from tenuto.adapters.models.mock import LocalMockAdapter
    from tenuto.adapters.models.names import ModelDirectory
    from tenuto.adapters.models.openai import OpenAIAdapter
    from tenuto.adapters.models.script import ScriptedReply
    from tenuto.adapters.models.scripted import ScriptedModel
    from tenuto.adapters.plans.plan_file import load_plan
    from tenuto.adapters.plans.plan_files import write_plan
    from tenuto.adapters.plans.plan_writing import plan_from_yaml, plan_to_yaml, self_contained
    from tenuto.adapters.programs import PythonPrograms
    from tenuto.adapters.stores.files import FileArtifactStore
    from tenuto.adapters.stores.memory import InMemoryJournal
    from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
    from tenuto.adapters.stores.sqlite import SqliteJournal
    from tenuto.adapters.tools.functions import FunctionTool, tool
    from tenuto.adapters.tools.toolbox import Toolbox
    from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
    from tenuto.app.running import Ran, run, run_sync
    from tenuto.core.agents import AgentSpec
    from tenuto.core.budget import Amount, Limits
    from tenuto.core.plan import Defaults, InputSpec, Plan, PromptWork, Retry, RunWork, Step, UsesWork
    from tenuto.core.report import report
    from tenuto.core.state import ExecutionState
    from tenuto.core.tools import ToolResult, ToolSpec
    from tenuto.errors import (
        AccountChangedError,
        ArtifactConflictError,
        DamagedStoreError,
        DivergedError,
        ExitCode,
        FencedError,
        HeadMovedError,
        InvalidPlanError,
        MergeConflictError,
        MissingArtifactError,
        ModelCallError,
        NewerStoreError,
        RefusedRequestError,
        SandboxUnavailableError,
        StorageError,
        TenutoError,
        ToolCallError,
        UsageError,
    )
    from tenuto.runtime.bus import EventBus
    from tenuto.runtime.context import AskError, Context, Inputs
    from tenuto.runtime.dispatcher import AsyncEventDispatcher
    from tenuto.runtime.engine import PlanExecutionEngine
    from tenuto.runtime.published import Published

_HOMES = {
    "tenuto.adapters.building.agents": ("agent",),
    "tenuto.adapters.clock": ("SystemClock",),
    "tenuto.adapters.models.local": ("LocalModelAdapter",),
    "tenuto.adapters.models.mock": ("LocalMockAdapter",),
    "tenuto.adapters.models.names": ("ModelDirectory",),
    "tenuto.adapters.models.openai": ("OpenAIAdapter",),
    "tenuto.adapters.models.script": ("ScriptedReply",),
    "tenuto.adapters.models.scripted": ("ScriptedModel",),
    "tenuto.adapters.plans.plan_file": ("load_plan",),
    "tenuto.adapters.plans.plan_files": ("write_plan",),
    "tenuto.adapters.plans.plan_writing": ("plan_from_yaml", "plan_to_yaml", "self_contained"),
    "tenuto.adapters.programs": ("PythonPrograms",),
    "tenuto.adapters.stores.files": ("FileArtifactStore",),
    "tenuto.adapters.stores.memory": ("InMemoryJournal",),
    "tenuto.adapters.stores.memory_artifacts": ("InMemoryArtifactStore",),
    "tenuto.adapters.stores.sqlite": ("SqliteJournal",),
    "tenuto.adapters.tools.functions": ("FunctionTool", "tool"),
    "tenuto.adapters.tools.toolbox": ("Toolbox",),
    "tenuto.adapters.workspace.tree_workspace": ("TreeWorkspace",),
    "tenuto.app.running": ("Ran", "run", "run_sync"),
    "tenuto.core.agents": ("AgentSpec",),
    "tenuto.core.budget": ("Amount", "Limits"),
    "tenuto.core.plan": (
        "Defaults",
        "InputSpec",
        "Plan",
        "PromptWork",
        "Retry",
        "RunWork",
        "Step",
        "UsesWork",
    ),
    "tenuto.core.report": ("report",),
    "tenuto.core.state": ("ExecutionState",),
    "tenuto.core.tools": ("ToolResult", "ToolSpec"),
    "tenuto.errors": (
        "AccountChangedError",
        "ArtifactConflictError",
        "DamagedStoreError",
        "DivergedError",
        "ExitCode",
        "FencedError",
        "HeadMovedError",
        "InvalidPlanError",
        "MergeConflictError",
        "MissingArtifactError",
        "ModelCallError",
        "NewerStoreError",
        "RefusedRequestError",
        "SandboxUnavailableError",
        "StorageError",
        "TenutoError",
        "ToolCallError",
        "UsageError",
    ),
    "tenuto.runtime.bus": ("EventBus",),
    "tenuto.runtime.context": ("AskError", "Context", "Inputs"),
    "tenuto.runtime.dispatcher": ("AsyncEventDispatcher",),
    "tenuto.runtime.engine": ("PlanExecutionEngine",),
    "tenuto.runtime.published": ("Published",),
}
_MODULES = {"build": "tenuto.adapters.building"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "AccountChangedError",
    "AgentSpec",
    "Amount",
    "ArtifactConflictError",
    "AskError",
    "AsyncEventDispatcher",
    "Context",
    "DamagedStoreError",
    "Defaults",
    "DivergedError",
    "EventBus",
    "ExecutionState",
    "ExitCode",
    "FencedError",
    "FileArtifactStore",
    "FunctionTool",
    "HeadMovedError",
    "InMemoryArtifactStore",
    "InMemoryJournal",
    "InputSpec",
    "Inputs",
    "InvalidPlanError",
    "Limits",
    "LocalMockAdapter",
    "LocalModelAdapter",
    "MergeConflictError",
    "MissingArtifactError",
    "ModelCallError",
    "ModelDirectory",
    "NewerStoreError",
    "OpenAIAdapter",
    "Plan",
    "PlanExecutionEngine",
    "PromptWork",
    "Published",
    "PythonPrograms",
    "Ran",
    "RefusedRequestError",
    "Retry",
    "RunWork",
    "SandboxUnavailableError",
    "ScriptedModel",
    "ScriptedReply",
    "SqliteJournal",
    "Step",
    "StorageError",
    "SystemClock",
    "TenutoError",
    "ToolCallError",
    "ToolResult",
    "ToolSpec",
    "Toolbox",
    "TreeWorkspace",
    "UsageError",
    "UsesWork",
    "__version__",
    "agent",
    "build",
    "load_plan",
    "plan_from_yaml",
    "plan_to_yaml",
    "report",
    "run",
    "run_sync",
    "self_contained",
    "tool",
    "write_plan",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name) or _MODULES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(home)
    value: object = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
