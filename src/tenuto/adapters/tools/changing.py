"""The built-in tools that change a step's files one at a time. They work on the tree, without any directory."""

from __future__ import annotations

from typing import Any

import msgspec

from tenuto.adapters.tools.answers import BadArgumentsError, arguments_of, schema
from tenuto.adapters.tools.files import FILE_BYTES_MAX, PATH, FileTool, bytes_at, text_at
from tenuto.adapters.tools.nearest import listed, occurrences, why_absent
from tenuto.adapters.tools.texts import BinaryFileError, FileText, file_text
from tenuto.core.canonical import clean
from tenuto.core.tools import ToolCall, ToolSpec
from tenuto.ports.workspace import TreeEdit

__all__ = ["DeleteFileTool", "EditFileTool", "MoveFileTool", "WriteFileTool", "write_bytes"]


class WriteArguments(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    content: str
    executable: bool | None = None


class WriteFileTool(FileTool):
    """`write_file`: create or replace a file.

    What replaces a text keeps its encoding, its byte order mark, its line ends and the line end at its end.
    """

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
                        "encoding": {"description": "absent: utf-8", "type": "string"},
                        "note": {"type": "string"},
                        "path": {"type": "string"},
                    },
                    required=("bytes", "created", "path"),
                ),
                parameters=schema(
                    {
                        "content": {"description": "the whole new content", "type": "string"},
                        "executable": {"description": "whether it can be executed", "type": "boolean"},
                        "path": PATH,
                    },
                    required=("path", "content"),
                ),
                tool_id="builtin:write_file",
                version="2",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, WriteArguments)
        content = str(clean(asked.content))
        held = await _held(files, asked.path)
        now = FileText(text=content) if held is None else held.having(content)
        if held is not None and held.text.endswith("\n") and now.text and not now.text.endswith("\n"):
            now = now.having(now.text + "\n")
        created = await write_bytes(files, asked.path, now.data, executable=asked.executable)
        return {"bytes": len(now.data), "created": created, "path": asked.path, **_manner(held, now)}


async def _held(files: TreeEdit, path: str) -> FileText | None:
    """The text that a file has so far; None where there is none, or it is no text."""
    try:
        return file_text(await files.read(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, BinaryFileError):
        return None
    except ValueError as error:
        raise BadArgumentsError(str(error)) from None


def _manner(held: FileText | None, now: FileText) -> dict[str, Any]:
    """What is said where a file is not plain UTF-8, or is no more what it was."""
    if held is not None and held.encoding != now.encoding:
        return {"encoding": now.encoding, "note": f"it was {held.encoding}, which lacks some of these characters"}
    return {} if now.encoding == "utf-8" else {"encoding": now.encoding}


async def write_bytes(files: TreeEdit, path: str, data: bytes, *, executable: bool | None = None) -> bool:
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
    replace_all: bool = False


class EditFileTool(FileTool):
    """`edit_file`: replace one exact piece of a file's text. All else stays, byte for byte."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Replace the exact text old in a file by new; once only, or with replace_all.",
                effect="workspace",
                name="edit_file",
                output_schema=schema(
                    {
                        "encoding": {"description": "absent: utf-8", "type": "string"},
                        "lines": {"items": {"minimum": 1, "type": "integer"}, "type": "array"},
                        "note": {"type": "string"},
                        "path": {"type": "string"},
                        "replaced": {"minimum": 1, "type": "integer"},
                    },
                    required=("lines", "path", "replaced"),
                ),
                parameters=schema(
                    {
                        "new": {"description": "the text that takes its place", "type": "string"},
                        "old": {
                            "description": "text of the file, exactly, white space included",
                            "minLength": 1,
                            "type": "string",
                        },
                        "path": PATH,
                        "replace_all": {"description": "replace every occurrence", "type": "boolean"},
                    },
                    required=("path", "old", "new"),
                ),
                tool_id="builtin:edit_file",
                version="2",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, EditArguments)
        if not asked.old:
            raise BadArgumentsError("old is empty; write_file creates a file or replaces all of it")
        if asked.old == asked.new:
            raise BadArgumentsError("old and new are the same text, so nothing would change")
        held = await text_at(files, asked.path)
        old, new = held.matching(asked.old), held.matching(str(clean(asked.new)))
        lines = occurrences(held.text, old)
        if not lines:
            raise BadArgumentsError(why_absent(held.text, old, asked.path))
        if len(lines) > 1 and not asked.replace_all:
            raise BadArgumentsError(
                f"old occurs {len(lines)} times in {asked.path} (lines {listed(lines)}); "
                "give more of the text around it, or set replace_all to true"
            )
        now = held.having(held.text.replace(old, new))
        await write_bytes(files, asked.path, now.data)
        return {"lines": lines[:100], "path": asked.path, "replaced": len(lines), **_manner(held, now)}


class DeleteArguments(msgspec.Struct, forbid_unknown_fields=True):
    path: str


class DeleteFileTool(FileTool):
    """`delete_file`: take one file away, or a symbolic link. Directories that are empty then vanish."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Delete one file.",
                effect="workspace",
                name="delete_file",
                output_schema=schema({"path": {"type": "string"}}, required=("path",)),
                parameters=schema({"path": PATH}, required=("path",)),
                tool_id="builtin:delete_file",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, DeleteArguments)
        try:
            await files.delete(asked.path)
        except FileNotFoundError:
            raise BadArgumentsError(f"there is no file {asked.path!r}; list_files shows what there is") from None
        except (IsADirectoryError, NotADirectoryError, ValueError) as error:
            raise BadArgumentsError(str(error)) from None
        return {"path": asked.path}


class MoveArguments(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    target: str
    replace: bool = False


class MoveFileTool(FileTool):
    """`move_file`: give one file another path; its bytes and its mode stay."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Move or rename one file. An existing target is only replaced if replace is true.",
                effect="workspace",
                name="move_file",
                output_schema=schema(
                    {
                        "replaced": {"type": "boolean"},
                        "source": {"type": "string"},
                        "target": {"type": "string"},
                    },
                    required=("replaced", "source", "target"),
                ),
                parameters=schema(
                    {
                        "replace": {"description": "whether an existing target is replaced", "type": "boolean"},
                        "source": PATH,
                        "target": PATH,
                    },
                    required=("source", "target"),
                ),
                tool_id="builtin:move_file",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, MoveArguments)
        data = await bytes_at(files, asked.source)
        try:
            entry = await files.entry(asked.source)
            held = await files.entry(asked.target)
        except ValueError as error:
            raise BadArgumentsError(str(error)) from None
        if entry is None or (held is not None and held.path == entry.path):
            raise BadArgumentsError("source and target are the same file, so nothing would change")
        if held is not None and not asked.replace:
            raise BadArgumentsError(f"there is a file {asked.target!r} already; set replace to true, or name another")
        await write_bytes(files, asked.target, data, executable=entry.mode == "100755")
        await files.delete(asked.source)
        return {"replaced": held is not None, "source": asked.source, "target": asked.target}
