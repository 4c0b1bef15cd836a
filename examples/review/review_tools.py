"""The tools of the review: what can be found in a repository without judging it, and where the page is written."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from typing import TypedDict

from tenuto import tool
from tenuto.ports.workspace import TreeEdit

LINES_MAX, ARGUMENTS_MAX, BYTES_MAX = 40, 6, 200_000
FINDINGS_MAX = 8
"""More are no choice for a small model."""


class Reviewed(TypedDict):
    """A file and what was found in it, each as `LINE: what`."""

    path: str
    lines: int
    findings: list[str]


@tool(effect="read")
async def find_findings(files: TreeEdit, max_files: int) -> list[Reviewed]:
    """The Python files with most findings. Files that do not parse are one finding."""
    sources: dict[str, bytes] = {}
    for entry in await files.entries():
        if entry.path.endswith(".py") and entry.mode != "120000" and entry.size <= BYTES_MAX:
            sources[entry.path] = await files.read(entry.path)
    found = await asyncio.to_thread(lambda: [_reviewed(path, source) for path, source in sources.items()])
    found = [one for one in found if one["findings"]]
    found.sort(key=lambda one: (-len(one["findings"]), one["path"]))
    return found[:max_files]


@tool(effect="workspace")
async def write_review(files: TreeEdit, text: str) -> str:
    """Write the page; gives its path."""
    await files.write("REVIEW.md", text.encode())
    return "REVIEW.md"


def _reviewed(path: str, source: bytes) -> Reviewed:
    lines = source.count(b"\n")
    try:
        found = sorted(set(_findings(ast.parse(source))))
    except (SyntaxError, ValueError) as error:
        found = [(getattr(error, "lineno", None) or 1, "does not parse")]
    return {"path": path, "lines": lines, "findings": [f"{line}: {what}" for line, what in found[:FINDINGS_MAX]]}


def _findings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(type=None):
                yield node.lineno, "except without a type hides every error"
            case ast.ExceptHandler(body=[ast.Pass()]):
                yield node.lineno, "an error is caught and dropped"
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                yield node.lineno, f"{name} runs text as code"
            case ast.Call(keywords=words) if any(
                word.arg == "shell" and isinstance(word.value, ast.Constant) and word.value.value is True
                for word in words
            ):
                yield node.lineno, "a command goes through the shell"
            case ast.Global():
                yield node.lineno, f"{', '.join(node.names)} is changed from inside a function"
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _of_function(node)


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if length > LINES_MAX:
        yield node.lineno, f"{node.name} has {length} lines"
    if len(node.args.args) > ARGUMENTS_MAX:
        yield node.lineno, f"{node.name} takes {len(node.args.args)} arguments"
    if any(isinstance(default, ast.List | ast.Dict | ast.Set) for default in node.args.defaults):
        yield node.lineno, f"{node.name} shares a default value between calls"
    if not node.name.startswith(("_", "test")) and ast.get_docstring(node) is None:
        yield node.lineno, f"{node.name} has no docstring"
