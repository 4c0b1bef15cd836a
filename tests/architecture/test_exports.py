"""The public surface: what `import tenuto` gives, and what it costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

HEAVY = (
    "asyncio",
    "click",
    "httpx",
    "jsonschema_rs",
    "merge3",
    "pathspec",
    "rich",
    "sqlite3",
    "ssl",
    "xllamacpp",
    "yaml",
)


PUBLIC = (
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
)
"""Every name that programs may rely on. Taking one away is a breaking change."""


def public() -> list[str]:
    names = getattr(importlib.import_module("tenuto"), "__all__", None)
    if names is None:
        pytest.skip("tenuto exports nothing yet")
    return list(names)


def test_every_exported_name_exists_and_is_listed() -> None:
    tenuto = importlib.import_module("tenuto")
    names = public()
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(tenuto, name)] == []
    assert set(names) <= set(dir(tenuto))


def test_the_public_names_are_these() -> None:
    assert tuple(sorted(public())) == PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    public()
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module("tenuto").no_such_name  # noqa: B018 - the access is what is tested


def test_importing_tenuto_imports_nothing_heavy() -> None:
    script = f"import sys, tenuto; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
