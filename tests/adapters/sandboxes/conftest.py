"""Sandboxes of this machine, and a way to run one command in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.sandboxes.finding import Preference, find_sandbox
from tenuto.adapters.sandboxes.places import search_path
from tenuto.errors import SandboxUnavailableError
from tenuto.ports.tools import Sandbox, SandboxCommand, SandboxResult

Shell = Callable[..., Coroutine[Any, Any, SandboxResult]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


@pytest.fixture
def kind() -> Preference:
    """Which sandbox; tests name others by parametrising this."""
    return "bubblewrap"


@pytest.fixture
async def sandbox(kind: Preference) -> AsyncIterator[Sandbox]:
    try:
        yield await find_sandbox(kind)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def shell(sandbox: Sandbox, tree: Path) -> Shell:
    """Run a script of sh in the tree; keyword arguments go to the command."""

    async def run(script: str, **limits: Any) -> SandboxResult:
        environment = {"HOME": "/tmp", "PATH": search_path(), **limits.pop("environment", {})}
        limits.setdefault("timeout_us", 20_000_000)
        return await sandbox.run(
            SandboxCommand(argv=("/bin/sh", "-c", script), directory=str(tree), environment=environment, **limits)
        )

    return run
