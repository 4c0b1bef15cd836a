"""What this machine has and lacks for tenuto."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import msgspec

from tenuto.app.build import has_journal, open_store
from tenuto.app.config import Settings
from tenuto.errors import TenutoError

__all__ = ["Finding", "examine"]

PYTHON_MIN = (3, 11)
SQLITE_MIN = (3, 35, 0)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `needed`: nothing works without it; else something named in `fix` does not."""

    name: str
    ok: bool
    what: str
    fix: str = ""
    needed: bool = True


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything. Writes a file into the store's directory, if there is one, and removes it."""
    return [
        _python(),
        _sqlite(),
        await _contents(settings) or _store(settings),
        await _sandbox(settings),
        _git(),
        _local_model(),
        _openai(settings),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(name="python", ok=sys.version_info >= PYTHON_MIN, what=version, fix="install Python 3.11 or newer")


def _sqlite() -> Finding:
    fix = "install a Python that is built with a newer SQLite"
    return Finding(name="sqlite", ok=sqlite3.sqlite_version_info >= SQLITE_MIN, what=sqlite3.sqlite_version, fix=fix)


async def _contents(settings: Settings) -> Finding | None:
    """What is wrong with a store that there is: damaged, newer, not to be read. None for one that opens."""
    try:
        store = open_store(settings, create=True)
        if has_journal(settings):
            try:
                await store.journal.runs()
            finally:
                await store.close()
    except TenutoError as error:
        where = f"{error.where}: " if error.where else ""
        return Finding(name="store", ok=False, what=f"{where}{error.what}", fix=error.fix)
    return None


def _store(settings: Settings) -> Finding:
    """The store's directory, or where it would be made, can be written."""
    place = settings.store
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    fix = "make it writable, or name another place by --store"
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".tenuto-doctor-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Finding(name="store", ok=False, what=f"{settings.store}: {error.strerror}", fix=fix)
    free_mib = shutil.disk_usage(place).free >> 20
    return Finding(name="store", ok=True, what=f"{settings.store} ({free_mib:,} MiB free)")


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
    return Finding(name="sandbox", ok=True, what=found.name, needed=False)


def _git() -> Finding:
    path = shutil.which("git")
    fix = "install git; without it results cannot be brought onto branches"
    return Finding(name="git", ok=path is not None, what=path or "not found", fix=fix, needed=False)


def _local_model() -> Finding:
    from tenuto.adapters.models.local_weights import find_weights

    try:
        path: Path = find_weights("")
    except TenutoError as error:
        return Finding(name="local model", ok=False, what=error.what, fix=error.fix, needed=False)
    return Finding(name="local model", ok=True, what=f"{path.name} ({path.stat().st_size >> 20} MiB)", needed=False)


def _openai(settings: Settings) -> Finding:
    known = bool(settings.openai_api_key)
    what = f"{settings.openai_base_url}, " + ("with a key" if known else "no key")
    return Finding(
        name="openai models", ok=known, what=what, fix="set OPENAI_API_KEY (and OPENAI_BASE_URL)", needed=False
    )
