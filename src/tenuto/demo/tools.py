"""What the demo's agents do to the repository: read it into facts, write the page."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tenuto.adapters.tools.functions import tool
from tenuto.demo import check
from tenuto.demo.facts import SkippedFile, Survey
from tenuto.demo.page import MARK
from tenuto.demo.survey import FILES_READ_MAX, SIZE_MAX, is_surveyed, survey
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
    apart = [page for page in PAGES if await _is_ours(files, page)]
    sources, skipped = await _read(files, entries, _is_python)
    if any(path.endswith(".py") for path in sources):
        try:
            return await asyncio.to_thread(survey, sources, most=max_files, skipped=skipped, apart=apart)
        except ValueError:
            pass  # no Python that parses: its documents may be worth an index
    texts, more = await _read(files, entries, lambda path: not _is_python(path))
    return await asyncio.to_thread(survey, sources | texts, most=max_files, skipped=[*skipped, *more], apart=apart)


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


async def _read(
    files: TreeEdit, entries: Sequence[TreeEntry], wanted: Callable[[str], bool]
) -> tuple[dict[str, bytes], list[SkippedFile]]:
    chosen = [entry for entry in entries if wanted(entry.path)]
    small: Iterable[TreeEntry] = [entry for entry in chosen[:FILES_READ_MAX] if entry.size <= SIZE_MAX]
    skipped = [
        SkippedFile(path=entry.path, reason=f"over {SIZE_MAX // 1024} KiB")
        for entry in chosen
        if entry.size > SIZE_MAX
    ]
    return {entry.path: await files.read(entry.path) for entry in small}, skipped


def _is_python(path: str) -> bool:
    return path.endswith(".py") or path == "pyproject.toml"


async def _is_ours(files: TreeEdit, page: str) -> bool:
    entry = await files.entry(page)
    return entry is not None and entry.mode != _SYMLINK and (await files.read(page)).startswith(MARK.encode())
