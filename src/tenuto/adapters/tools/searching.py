"""The built-in tool that searches a step's files: literal text, or a regular expression in linear time.

Python's own `re` can take exponential time and holds the interpreter lock meanwhile, so one expression of a model
could stop every agent. The expressions are therefore run by the linear-time engine inside jsonschema-rs, which has
no look-around and no back-references: those are refused with a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from tenuto.adapters.tools.answers import TEXT_BYTES_MAX, BadArgumentsError, arguments_of, schema
from tenuto.adapters.tools.files import FILE_BYTES_MAX, FileTool
from tenuto.adapters.tools.globs import GLOB_CHARS_MAX
from tenuto.adapters.tools.listing import paths_below
from tenuto.adapters.tools.texts import BinaryFileError, file_text
from tenuto.core.tools import ToolCall, ToolSpec
from tenuto.ports.workspace import TreeEdit

__all__ = ["SearchFilesTool"]

PATTERN_CHARS_MAX = 1_000
LINE_CHARS_MAX = 10_000
"""Characters of a line that are searched; minified files are one endless line."""
SHOWN_CHARS_MAX = 300
SEARCHED_BYTES_MAX = 256 << 20
MATCHES_MAX = 1_000
THREAD_BYTES = 128 << 10
"""Files from this size on are searched in a thread, so that the event loop goes on."""

Matcher = Callable[[str], bool]


class SearchArguments(msgspec.Struct, forbid_unknown_fields=True):
    pattern: str
    directory: str = ""
    glob: str | None = None
    ignore_case: bool = False
    limit: int = 100
    regex: bool = False


class SearchFilesTool(FileTool):
    """`search_files`: lines that hold a text or match a regular expression, as `path:line: text`."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Search the lines of all text files for a text or a regular expression.",
                effect="read",
                name="search_files",
                output_schema=schema(
                    {
                        "files_searched": {"minimum": 0, "type": "integer"},
                        "matches": {"items": {"type": "string"}, "type": "array"},
                        "note": {"type": "string"},
                        "truncated": {"type": "boolean"},
                    },
                    required=("files_searched", "matches", "truncated"),
                ),
                parameters=schema(
                    {
                        "directory": {"description": "where to search; everywhere if absent", "type": "string"},
                        "glob": {
                            "description": "search only files matching it, such as *.py",
                            "maxLength": GLOB_CHARS_MAX,
                            "type": "string",
                        },
                        "ignore_case": {"type": "boolean"},
                        "limit": {"description": "most lines to return", "minimum": 1, "type": "integer"},
                        "pattern": {"maxLength": PATTERN_CHARS_MAX, "minLength": 1, "type": "string"},
                        "regex": {"description": "pattern is a regular expression", "type": "boolean"},
                    },
                    required=("pattern",),
                ),
                tool_id="builtin:search_files",
                version="2",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, SearchArguments)
        matches = _matcher(asked)
        found = Findings(limit=max(1, min(asked.limit, MATCHES_MAX)))
        for path in await paths_below(files, asked.directory, asked.glob):
            entry = await files.entry(path)
            if entry is None or entry.mode == "120000" or entry.size > FILE_BYTES_MAX:
                continue
            if found.bytes_searched + entry.size > SEARCHED_BYTES_MAX:
                found.note = f"stopped at {path}: {SEARCHED_BYTES_MAX} bytes searched; narrow it by directory or glob"
                break
            data = await files.read(path)
            if len(data) >= THREAD_BYTES:
                await asyncio.to_thread(found.search, path, data, matches)
            else:
                found.search(path, data, matches)
            if found.note:
                break
        value: dict[str, Any] = {
            "files_searched": found.files_searched,
            "matches": found.lines,
            "truncated": bool(found.note),
        }
        if found.note:
            value["note"] = found.note
        return value


class Findings:
    """The lines found so far, within the limits of one answer."""

    def __init__(self, *, limit: int) -> None:
        self.lines: list[str] = []
        self.files_searched = 0
        self.bytes_searched = 0
        self.note = ""
        self._limit = limit
        self._room = TEXT_BYTES_MAX

    def search(self, path: str, data: bytes, matches: Matcher) -> None:
        """Add the matching lines of one file; binary files are passed over. Sets `note` where a limit is met."""
        try:
            text = file_text(data).text
        except BinaryFileError:
            return
        self.files_searched += 1
        self.bytes_searched += len(data)
        for number, line in enumerate(text.split("\n"), 1):
            if matches(line[:LINE_CHARS_MAX]):
                self._add(f"{path}:{number}: {_shown(line)}")
                if self.note:
                    return

    def _add(self, text: str) -> None:
        self._room -= len(text.encode())
        if len(self.lines) == self._limit or self._room < 0:
            self.note = f"stopped after {len(self.lines)} lines; narrow it by directory, glob or a longer pattern"
        else:
            self.lines.append(text)


def _shown(line: str) -> str:
    line = line.rstrip("\r")
    return line if len(line) <= SHOWN_CHARS_MAX else line[:SHOWN_CHARS_MAX] + "..."


def _matcher(asked: SearchArguments) -> Matcher:
    pattern = asked.pattern
    if not pattern or len(pattern) > PATTERN_CHARS_MAX:
        raise BadArgumentsError(f"pattern must have 1 to {PATTERN_CHARS_MAX} characters")
    if not asked.regex and "\n" in pattern:
        raise BadArgumentsError("pattern holds a line end, but lines are searched one by one")
    if asked.regex:
        return _linear_matcher(f"(?i){pattern}" if asked.ignore_case else pattern)
    if asked.ignore_case:
        folded = pattern.casefold()
        return lambda line: folded in line.casefold()
    return lambda line: pattern in line


def _linear_matcher(pattern: str) -> Matcher:
    import jsonschema_rs

    try:
        validator = jsonschema_rs.validator_for(
            {"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20)
        )
    except jsonschema_rs.ValidationError:
        raise BadArgumentsError(
            f"{pattern!r} is no regular expression that can be searched for: look-around, back-references and very "
            "large repeats are not offered; set regex to false to search for it literally"
        ) from None
    return validator.is_valid
