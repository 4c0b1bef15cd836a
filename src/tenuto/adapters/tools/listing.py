"""The built-in tools that list a step's files: `list_files`, `glob`."""

from __future__ import annotations

from typing import Any

import msgspec

from tenuto.adapters.tools.answers import TEXT_BYTES_MAX, BadArgumentsError, arguments_of, schema
from tenuto.adapters.tools.files import FileTool
from tenuto.adapters.tools.globs import GLOB_CHARS_MAX, glob_matcher
from tenuto.core.tools import ToolCall, ToolSpec
from tenuto.ports.workspace import TreeEdit

__all__ = ["GlobTool", "ListFilesTool", "paths_below"]

PATHS_MAX = 2_000
_LIST_OUTPUT = schema(
    {
        "files": {"items": {"type": "string"}, "type": "array"},
        "note": {"type": "string"},
        "total": {"minimum": 0, "type": "integer"},
        "truncated": {"type": "boolean"},
    },
    required=("files", "total", "truncated"),
)
_DIRECTORY = {"description": "where to look; the whole repository if absent", "type": "string"}
_LIMIT = {"description": "most paths to return", "maximum": PATHS_MAX, "minimum": 1, "type": "integer"}


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
                output_schema=_LIST_OUTPUT,
                parameters=schema(
                    {
                        "directory": _DIRECTORY,
                        "glob": {
                            "description": "such as *.py or src/**/*.{ts,tsx}, relative to the directory",
                            "maxLength": GLOB_CHARS_MAX,
                            "type": "string",
                        },
                        "limit": _LIMIT,
                    },
                    required=(),
                ),
                tool_id="builtin:list_files",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, ListArguments)
        return _listing(await paths_below(files, asked.directory, asked.glob), asked.limit)


def _listing(found: list[str], limit: int) -> dict[str, Any]:
    """The paths that fit into one answer, and what is said of the rest."""
    shown, room = [], TEXT_BYTES_MAX
    for path in found[: max(1, min(limit, PATHS_MAX))]:
        room -= len(path.encode()) + 4
        if room < 0:
            break
        shown.append(path)
    value = {"files": shown, "total": len(found), "truncated": len(shown) < len(found)}
    if value["truncated"]:
        value["note"] = f"{len(shown)} of {len(found)} files; narrow them by directory or glob"
    return value


class GlobArguments(msgspec.Struct, forbid_unknown_fields=True):
    pattern: str
    directory: str = ""
    limit: int = 500


class GlobTool(FileTool):
    """`glob`: the paths that match a pattern, sorted. Dotfiles match like others."""

    def __init__(self) -> None:
        super().__init__(
            ToolSpec(
                description="Find files by a pattern of their path, such as *.py or src/**/*.{ts,tsx}.",
                effect="read",
                name="glob",
                output_schema=_LIST_OUTPUT,
                parameters=schema(
                    {
                        "directory": _DIRECTORY,
                        "limit": _LIMIT,
                        "pattern": {
                            "description": "* and ? stay in one name, ** spans directories, {a,b} is either; "
                            "without / it is compared with the name alone",
                            "maxLength": GLOB_CHARS_MAX,
                            "minLength": 1,
                            "type": "string",
                        },
                    },
                    required=("pattern",),
                ),
                tool_id="builtin:glob",
                version="1",
            )
        )

    async def serve(self, call: ToolCall, files: TreeEdit) -> dict[str, Any]:
        asked = arguments_of(call, GlobArguments)
        if not asked.pattern.strip("/"):
            raise BadArgumentsError("pattern is empty; write one such as **/*.py")
        return _listing(await paths_below(files, asked.directory, asked.pattern), asked.limit)


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
