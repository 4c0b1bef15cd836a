"""What the built-in file tools have in common, and `read_file`. They work on the tree, without any directory."""

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
from tenuto.adapters.tools.texts import BinaryFileError, FileText, file_text
from tenuto.core.tools import ToolCall, ToolSpec
from tenuto.errors import UsageError
from tenuto.ports.tools import Tool, ToolContext, ToolOutput
from tenuto.ports.workspace import TreeEdit

__all__ = ["FILE_BYTES_MAX", "PATH", "FileTool", "ReadFileTool", "bytes_at", "text_at"]

FILE_BYTES_MAX = 16 << 20
"""Bytes of the largest file that is read as text or written."""

PATH = {"description": "path relative to the repository, with /", "type": "string"}
_TEXT_OUTPUT = schema(
    {
        "encoding": {"description": "absent: utf-8", "type": "string"},
        "first_line": {"minimum": 0, "type": "integer"},
        "last_line": {"minimum": 0, "type": "integer"},
        "line_ends": {"description": "absent: LF, or mixed ends as they are", "enum": ["crlf"]},
        "lines": {"minimum": 0, "type": "integer"},
        "note": {"type": "string"},
        "path": {"type": "string"},
        "text": {"type": "string"},
        "truncated": {"type": "boolean"},
    },
    required=("first_line", "last_line", "lines", "path", "text", "truncated"),
)


async def bytes_at(files: TreeEdit, path: str) -> bytes:
    """The bytes of the file at `path`. Raises BadArgumentsError, for the model."""
    try:
        data = await files.read(path)
    except FileNotFoundError:
        raise BadArgumentsError(f"there is no file {path!r}; list_files shows what there is") from None
    except IsADirectoryError:
        raise BadArgumentsError(f"{path!r} is a directory; list_files shows what is in it") from None
    except (NotADirectoryError, ValueError) as error:
        raise BadArgumentsError(str(error)) from None
    if len(data) > FILE_BYTES_MAX:
        raise BadArgumentsError(f"{path} has {len(data)} bytes; files of more than {FILE_BYTES_MAX} are not read")
    return data


async def text_at(files: TreeEdit, path: str) -> FileText:
    """The text of the file at `path`. Raises BadArgumentsError, for the model."""
    data = await bytes_at(files, path)
    try:
        return file_text(data)
    except BinaryFileError as error:
        raise BadArgumentsError(
            f"{path} is a binary file of {len(data)} bytes ({error}); only text can be read"
        ) from None


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
        except (BadArgumentsError, UsageError) as error:
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
    """`read_file`: the text of a file, or of a range of its lines, as `texts` says."""

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
                        "path": PATH,
                    },
                    required=("path",),
                ),
                tool_id="builtin:read_file",
                version="2",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, ReadArguments)
        held = await text_at(files, asked.path)
        lines = _lines(held.text)
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
        if held.encoding != "utf-8":
            value["encoding"] = held.encoding
        if held.carriage_returns:
            value["line_ends"] = "crlf"
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
