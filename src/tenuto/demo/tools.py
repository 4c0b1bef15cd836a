"""What the demo's agents do to the repository: read it into facts, write the page."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tenuto.adapters.tools.functions import tool
from tenuto.demo import check
from tenuto.demo.facts import SkippedFile, Survey
from tenuto.demo.page import MARK
from tenuto.demo.survey import BYTES_READ_MAX, FILES_READ_MAX, SIZE_MAX, is_surveyed, survey
from tenuto.ports.workspace import TreeEdit, TreeEntry

__all__ = ["PAGES", "WrittenPage", "survey_repository", "write_page"]

PAGES = ("MODULES.md", "MODULES.tenuto.md")
"""Where the page goes: the second where the repository has a first of its own."""

_SYMLINK = "120000"


class WrittenPage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the page was written, and the script that can check it (a new file, to be deleted after use)."""

    check: str
    page: str


@tool(effect="read", version="1")
async def survey_repository(files: TreeEdit, max_files: int) -> Survey:
    """Survey the repository: its most used files with their names, imports, gaps and candidate words."""
    if max_files < 1:
        raise ValueError("max_files must be at least 1")
    entries = [entry for entry in await files.entries() if is_surveyed(entry.path) and entry.mode != _SYMLINK]
    entries.sort(key=lambda entry: (entry.path.count("/"), entry.path))
    python = await _read(files, [entry for entry in entries if _is_python(entry.path)])
    apart = [page for page in PAGES if await _is_ours(files, page)]
    if any(path.endswith(".py") for path in python.sources):
        try:
            return await _survey(python, max_files, apart)
        except ValueError:
            pass  # no Python that parses: its documents may be worth an index
    texts = await _read(files, [entry for entry in entries if not _is_python(entry.path)])
    both = _Read(python.sources | texts.sources, [*python.skipped, *texts.skipped], python.unread + texts.unread)
    return await _survey(both, max_files, apart)


@tool(effect="workspace", version="1")
async def write_page(files: TreeEdit, text: str) -> WrittenPage:
    """Write the page into the repository's root, and the script that checks it beside it."""
    page = PAGES[0]
    if await files.entry(page) is not None and not await _is_ours(files, page):
        page = PAGES[1]
    await files.write(page, text.encode())
    number, script = 1, "_check_modules.py"
    while await files.entry(script) is not None:
        number += 1
        script = f"_check_modules_{number}.py"
    await files.write(script, inspect.getsource(check).encode())
    return WrittenPage(check=script, page=page)


class _Read(NamedTuple):
    """What was read: files, those too large, and how many are beyond the limits."""

    sources: dict[str, bytes]
    skipped: list[SkippedFile]
    unread: int


async def _read(files: TreeEdit, entries: Sequence[TreeEntry]) -> _Read:
    """Read files in the order given, up to the limits."""
    large = [entry for entry in entries if entry.size > SIZE_MAX]
    small = [entry for entry in entries if entry.size <= SIZE_MAX]
    sizes = itertools.accumulate(entry.size for entry in small)
    taken = [entry.path for entry, so_far in zip(small, sizes, strict=True) if so_far <= BYTES_READ_MAX]
    taken = taken[:FILES_READ_MAX]
    return _Read(
        {path: await files.read(path) for path in taken},
        [SkippedFile(path=entry.path, reason=f"over {SIZE_MAX // 1024} KiB") for entry in large],
        len(small) - len(taken),
    )


async def _survey(read: _Read, most: int, apart: list[str]) -> Survey:
    # in a thread: seconds of parsing must not keep the engine from renewing its lease
    found = await asyncio.to_thread(survey, read.sources, most=most, skipped=read.skipped, apart=apart)
    return msgspec.structs.replace(found, unread=read.unread)


def _is_python(path: str) -> bool:
    return path.endswith(".py") or path == "pyproject.toml"


async def _is_ours(files: TreeEdit, page: str) -> bool:
    entry = await files.entry(page)
    return entry is not None and entry.mode != _SYMLINK and (await files.read(page)).startswith(MARK.encode())
