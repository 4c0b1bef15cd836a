"""The built-in tools that read and change a step's files. They work on the tree, without any directory."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import msgspec

from tenuto.adapters.tools.answers import (
    TEXT_BYTES_MAX,
    BadArgumentsError,
    answer,
    arguments_of,
    refusal,
    schema,
)
from tenuto.adapters.tools.globs import GLOB_CHARS_MAX, glob_matcher
from tenuto.core.canonical import clean
from tenuto.core.tools import ToolCall, ToolSpec
from tenuto.ports.tools import Tool, ToolContext, ToolOutput
from tenuto.ports.workspace import TreeEdit

__all__ = ["FILE_BYTES_MAX", "EditFileTool", "ListFilesTool", "ReadFileTool", "WriteFileTool", "text_of"]

FILE_BYTES_MAX = 16 << 20
"""Bytes of the largest file that is read as text or written."""
PATHS_MAX = 2_000

_PATH = {"description": "path relative to the repository, with /", "type": "string"}
_TEXT_OUTPUT = schema(
    {
        "first_line": {"minimum": 0, "type": "integer"},
        "last_line": {"minimum": 0, "type": "integer"},
        "lines": {"minimum": 0, "type": "integer"},
        "note": {"type": "string"},
        "path": {"type": "string"},
        "text": {"type": "string"},
        "truncated": {"type": "boolean"},
    },
    required=("first_line", "last_line", "lines", "path", "text", "truncated"),
)


def text_of(data: bytes, path: str) -> str:
    """A file as text. Raises BadArgumentsError, for the model, for what is no text or too large."""
    if len(data) > FILE_BYTES_MAX:
        raise BadArgumentsError(f"{path} has {len(data)} bytes; files of more than {FILE_BYTES_MAX} are not read")
    if b"\0" in data:
        raise BadArgumentsError(f"{path} is a binary file of {len(data)} bytes; only text can be read")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadArgumentsError(
            f"{path} is not UTF-8 text (byte {error.start} of {len(data)}); only text can be read"
        ) from None


async def text_at(files: TreeEdit, path: str) -> str:
    """The text of the file at `path`. Raises BadArgumentsError, for the model."""
    try:
        return text_of(await files.read(path), path)
    except FileNotFoundError:
        raise BadArgumentsError(f"there is no file {path!r}; list_files shows what there is") from None
    except IsADirectoryError:
        raise BadArgumentsError(f"{path!r} is a directory; list_files shows what is in it") from None
    except (NotADirectoryError, ValueError) as error:
        raise BadArgumentsError(str(error)) from None


class FileTool(Tool):
    """A built-in tool over `context.files`: what its arguments get wrong is an answer, never an exception."""

    def __init__(self, spec: ToolSpec) -> None:
        self._spec = spec

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def invoke(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        try:
            return answer(await self.serve(call, context.files))
        except BadArgumentsError as error:
            return refusal(str(error))

    async def reconcile(self, call: ToolCall) -> ToolOutput | None:  # noqa: ARG002 - repeated, never reconciled
        return None

    @abstractmethod
    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        """The value of an `ok` answer. Raises BadArgumentsError."""


class ReadArguments(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    first_line: int = 1
    last_line: int | None = None


class ReadFileTool(FileTool):
    """`read_file`: the text of a file, or of a range of its lines."""

    def __init__(self, *, text_bytes_max: int = TEXT_BYTES_MAX) -> None:
        self._text_bytes_max = text_bytes_max
        super().__init__(
            ToolSpec(
                description="Read a text file, or the lines first_line to last_line of it.",
                effect="read",
                name="read_file",
                output_schema=_TEXT_OUTPUT,
                parameters=schema(
                    {
                        "first_line": {"description": "first line to read, from 1", "minimum": 1, "type": "integer"},
                        "last_line": {"description": "last line to read", "minimum": 1, "type": "integer"},
                        "path": _PATH,
                    },
                    required=("path",),
                ),
                tool_id="builtin:read_file",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, ReadArguments)
        lines = _lines(await text_at(files, asked.path))
        first, last = asked.first_line, len(lines) if asked.last_line is None else asked.last_line
        if first > max(len(lines), 1):
            raise BadArgumentsError(f"{asked.path} has {len(lines)} lines, so there is no line {first}")
        if first < 1 or last < first - (asked.last_line is None):
            raise BadArgumentsError(f"lines {first} to {last} are no range; first_line starts at 1")
        wanted = lines[first - 1 : last]
        kept, cut = _fitting(wanted, self._text_bytes_max)
        end = first - 1 + len(kept)
        value = {
            "first_line": min(first, len(lines)),
            "last_line": end,
            "lines": len(lines),
            "path": asked.path,
            "text": "".join(kept),
            "truncated": cut or len(kept) < len(wanted),
        }
        if cut:
            value["note"] = f"line {end} is too long and was cut; {_rest(end, len(lines))}"
        elif len(kept) < len(wanted):
            value["note"] = f"cut after line {end} of {len(lines)}; {_rest(end, len(lines))}"
        return value


def _rest(end: int, count: int) -> str:
    return f"read on with first_line={end + 1}" if end < count else "there is no further line"


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only `\\n` ends a line, as in editors and in diffs."""
    lines = text.split("\n")
    ended = [line + "\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended


def _fitting(lines: list[str], room: int) -> tuple[list[str], bool]:
    """The leading lines that fit into `room` bytes, and whether the last of them had to be cut."""
    kept: list[str] = []
    for line in lines:
        size = len(line.encode())
        if size > room:
            if kept:
                return kept, False
            return [line.encode()[:room].decode(errors="ignore")], True
        kept.append(line)
        room -= size
    return kept, False


class ListArguments(msgspec.Struct, forbid_unknown_fields=True):
    directory: str = ""
    glob: str | None = None
    limit: int = 500


class ListFilesTool(FileTool):
    """`list_files`: the paths of the step's files, sorted."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="List the files of the repository, or those in a directory or matching a glob.",
                effect="read",
                name="list_files",
                output_schema=schema(
                    {
                        "files": {"items": {"type": "string"}, "type": "array"},
                        "note": {"type": "string"},
                        "total": {"minimum": 0, "type": "integer"},
                        "truncated": {"type": "boolean"},
                    },
                    required=("files", "total", "truncated"),
                ),
                parameters=schema(
                    {
                        "directory": {
                            "description": "where to look; the whole repository if absent",
                            "type": "string",
                        },
                        "glob": {
                            "description": "such as *.py or src/**/*.{ts,tsx}, relative to the directory",
                            "maxLength": GLOB_CHARS_MAX,
                            "type": "string",
                        },
                        "limit": {"maximum": PATHS_MAX, "minimum": 1, "type": "integer"},
                    },
                    required=(),
                ),
                tool_id="builtin:list_files",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, ListArguments)
        limit = max(1, min(asked.limit, PATHS_MAX))
        found = await paths_below(files, asked.directory, asked.glob)
        shown, room = [], TEXT_BYTES_MAX
        for path in found[:limit]:
            room -= len(path.encode()) + 4
            if room < 0:
                break
            shown.append(path)
        value = {"files": shown, "total": len(found), "truncated": len(shown) < len(found)}
        if value["truncated"]:
            value["note"] = f"{len(shown)} of {len(found)} files; narrow them by directory or glob"
        return value


async def paths_below(files: TreeEdit, directory: str, glob: str | None) -> list[str]:
    """Paths of the files below a directory that match a glob relative to it. Raises BadArgumentsError."""
    below = "" if directory in ("", ".", "./", "/") else directory.removeprefix("./").rstrip("/")
    try:
        entries = await files.entries(below)
        matches = glob_matcher(glob) if glob else None
    except FileNotFoundError:
        raise BadArgumentsError(f"there is no directory {directory!r}") from None
    except (NotADirectoryError, ValueError) as error:
        raise BadArgumentsError(str(error)) from None
    paths = [entry.path for entry in entries]
    if matches is None:
        return paths
    prefix = len(below) + 1 if below else 0
    return [path for path in paths if matches(path[prefix:])]


class WriteArguments(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    content: str
    executable: bool | None = None


class WriteFileTool(FileTool):
    """`write_file`: create or replace a file."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Create a file, or replace the whole content of one.",
                effect="workspace",
                name="write_file",
                output_schema=schema(
                    {
                        "bytes": {"minimum": 0, "type": "integer"},
                        "created": {"type": "boolean"},
                        "path": {"type": "string"},
                    },
                    required=("bytes", "created", "path"),
                ),
                parameters=schema(
                    {
                        "content": {"description": "the whole new content", "type": "string"},
                        "executable": {"description": "whether it can be executed", "type": "boolean"},
                        "path": _PATH,
                    },
                    required=("path", "content"),
                ),
                tool_id="builtin:write_file",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, WriteArguments)
        data = str(clean(asked.content)).encode()
        created = await _write(files, asked.path, data, executable=asked.executable)
        return {"bytes": len(data), "created": created, "path": asked.path}


async def _write(files: TreeEdit, path: str, data: bytes, *, executable: bool | None = None) -> bool:
    """Write a file; whether it is new. Raises BadArgumentsError."""
    if len(data) > FILE_BYTES_MAX:
        raise BadArgumentsError(f"the content has {len(data)} bytes; at most {FILE_BYTES_MAX} are written")
    try:
        created = await files.entry(path) is None
        await files.write(path, data, executable=executable)
    except (IsADirectoryError, NotADirectoryError, ValueError) as error:
        raise BadArgumentsError(str(error)) from None
    return created


class EditArguments(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    old: str
    new: str
    all: bool = False


class EditFileTool(FileTool):
    """`edit_file`: replace one exact piece of a file's text."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Replace the exact text old in a file by new; it must occur once, unless all is true.",
                effect="workspace",
                name="edit_file",
                output_schema=schema(
                    {
                        "lines": {"items": {"minimum": 1, "type": "integer"}, "type": "array"},
                        "path": {"type": "string"},
                        "replaced": {"minimum": 1, "type": "integer"},
                    },
                    required=("lines", "path", "replaced"),
                ),
                parameters=schema(
                    {
                        "all": {"description": "replace every occurrence", "type": "boolean"},
                        "new": {"description": "the text that takes its place", "type": "string"},
                        "old": {
                            "description": "text of the file, exactly, white space included",
                            "minLength": 1,
                            "type": "string",
                        },
                        "path": _PATH,
                    },
                    required=("path", "old", "new"),
                ),
                tool_id="builtin:edit_file",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, EditArguments)
        if not asked.old:
            raise BadArgumentsError("old is empty; write_file creates a file or replaces all of it")
        if asked.old == asked.new:
            raise BadArgumentsError("old and new are the same text, so nothing would change")
        text = await text_at(files, asked.path)
        lines = _occurrences(text, asked.old)
        if not lines:
            raise BadArgumentsError(_why_absent(text, asked.old, asked.path))
        if len(lines) > 1 and not asked.all:
            raise BadArgumentsError(
                f"old occurs {len(lines)} times in {asked.path} (lines {_listed(lines)}); "
                "give more of the text around it, or set all to true"
            )
        changed = text.replace(asked.old, str(clean(asked.new)))
        await _write(files, asked.path, changed.encode())
        return {"lines": lines[:100], "path": asked.path, "replaced": len(lines)}


def _occurrences(text: str, old: str) -> list[int]:
    """Lines, from 1, in which `old` begins: as many as `str.replace` replaces."""
    lines: list[int] = []
    at, line = 0, 1
    while (found := text.find(old, at)) >= 0:
        line += text.count("\n", at, found)
        lines.append(line)
        line += old.count("\n")
        at = found + len(old)
    return lines


def _listed(lines: list[int]) -> str:
    return ", ".join(str(line) for line in lines[:10]) + (", ..." if len(lines) > 10 else "")


def _why_absent(text: str, old: str, path: str) -> str:
    """What a model should look at when its text is not in the file."""
    if "\r\n" in text and "\n" in old and old.replace("\r\n", "\n") in text.replace("\r\n", "\n"):
        return f"old is not in {path} as written: its lines end in \\r\\n; give those line ends too"
    squeezed = [" ".join(line.split()) for line in old.split("\n")]
    wanted = [line for line in squeezed if line]
    if not wanted:
        return f"old is not in {path}"
    there = [" ".join(line.split()) for line in text.split("\n")]
    hits = [number for number, line in enumerate(there, 1) if wanted[0] in line]
    for number in hits:
        following = [line for line in there[number - 1 :][: 2 * len(squeezed)] if line][: len(wanted)]
        if len(following) == len(wanted) and all(a in b for a, b in zip(wanted, following, strict=True)):
            return f"old is not in {path} exactly, but at line {number} with other white space; read it again"
    if hits:
        return f"old is not in {path}; its first line is at line {_listed(hits)}, what follows differs; read it again"
    return f"old is not in {path}; read the file again"
