"""What this machine and this project have and lack for tenuto, and the command that brings what is missing."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sqlite3
import sys
from pathlib import Path

from tenuto.app.config import Settings
from tenuto.app.doctor_findings import Finding, installing
from tenuto.app.doctor_project import completion, disk, model_endpoint, store
from tenuto.errors import TenutoError

__all__ = ["Finding", "examine"]

PYTHON_MIN = (3, 11)
SQLITE_MIN = (3, 35, 0)


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything. Writes a file into the store's directory, if there is one, and removes it.

    A model endpoint is asked only where one is configured, and has three seconds to answer.
    """
    return [
        _python(),
        _sqlite(),
        await store(settings),
        disk(settings),
        await _sandbox(settings),
        _git(),
        _local_model(),
        _prices(),
        _providers(),
        await model_endpoint(settings),
        completion(settings),
    ]


def _python() -> Finding:
    version = f"{platform.python_version()} ({sys.executable})"
    return Finding(name="python", ok=sys.version_info >= PYTHON_MIN, what=version, fix=installing("python3.11"))


def _sqlite() -> Finding:
    fix = "install a Python that is built with a newer SQLite"
    return Finding(name="sqlite", ok=sqlite3.sqlite_version_info >= SQLITE_MIN, what=sqlite3.sqlite_version, fix=fix)


async def _sandbox(settings: Settings) -> Finding:
    from tenuto.adapters.sandboxes.finding import find_sandbox

    try:
        match settings.sandbox:
            case "bubblewrap" | "sandlock" as preference:
                found = await find_sandbox(preference)
            case _:
                found = await find_sandbox()
    except TenutoError as error:
        return Finding(name="sandbox", ok=False, what=error.what, fix=error.fix, needed=False)
    return Finding(name="sandbox", ok=True, what=f"{found.name} works", needed=False)


def _git() -> Finding:
    path = shutil.which("git")
    fix = f"{installing('git')}   # without it results cannot be brought onto branches"
    return Finding(name="git", ok=path is not None, what=path or "not found", fix=fix, needed=False)


def _local_model() -> Finding:
    from tenuto.adapters.models.local_weights import find_weights

    try:
        path: Path = find_weights("")
    except TenutoError as error:
        return Finding(name="local model", ok=False, what=error.what, fix=error.fix, needed=False)
    return Finding(name="local model", ok=True, what=f"{path.name} ({path.stat().st_size >> 20} MiB)", needed=False)


def _providers() -> Finding:
    known = importlib.util.find_spec("pydantic_ai") is not None
    what = "models of other providers can be asked" if known else "the package pydantic-ai-slim is not installed"
    fix = "pip install 'tenuto[models]'   # for anthropic:, google:, groq: and mistral:"
    return Finding(name="providers", ok=known, what=what, fix=fix, needed=False)


def _prices() -> Finding:
    known = importlib.util.find_spec("genai_prices") is not None
    what = "list prices of hosted models are known" if known else "the package genai-prices is not installed"
    fix = "pip install 'tenuto[prices]'   # without it hosted models run under no limit of money"
    return Finding(name="prices", ok=known, what=what, fix=fix, needed=False)
