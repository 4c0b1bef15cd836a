"""The tools of the migration: where a name is used, and how each place could be written."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from typing import TypedDict

from tenuto import tool
from tenuto.ports.workspace import TreeEdit

PAGE = "MIGRATION.md"


class Place(TypedDict):
    """Lines that use the name. `forms` are the texts that could stand there, the plainest first."""

    key: str
    path: str
    line: int
    text: str
    forms: list[str]


@tool(effect="workspace")
async def find_places(files: TreeEdit, old: str, new: str) -> list[Place]:
    """Every place that uses a name, in all Python files, and MIGRATION.md with a line for each."""
    if not old.isidentifier() or not new.isidentifier():
        raise ValueError("both names must be Python identifiers")
    sources = await _python(files)
    places = await asyncio.to_thread(lambda: _places(sources, old, new))
    lines = [f"# From `{old}` to `{new}`", *(f"- [ ] {place['key']}" for place in places)]
    await files.write(PAGE, ("\n\n".join(lines) + "\n").encode())
    return places


@tool(effect="workspace")
async def write_form(files: TreeEdit, key: str, path: str, line: int, text: str, form: str) -> None:
    """Put `form` where `text` stands in a file, and tick its line in MIGRATION.md."""
    source = (await files.read(path)).decode()
    lines = source.splitlines(keepends=True)
    before, after = "".join(lines[: line - 1]), "".join(lines[line - 1 :])
    if not after.startswith(text):
        raise ValueError(f"{path}:{line} is no longer {text!r}")
    await files.write(path, (before + form + after[len(text) :]).encode())
    page = (await files.read(PAGE)).decode()
    await files.write(PAGE, page.replace(f"- [ ] {key}\n", f"- [x] {key}\n").encode())


@tool(effect="read")
async def find_leftovers(files: TreeEdit, old: str) -> list[str]:
    """Where a name is still used, as `path:line`."""
    sources = await _python(files)
    found = await asyncio.to_thread(lambda: [(path, line) for path in sources for line in _lines(sources[path], old)])
    return [f"{path}:{line}" for path, line in found]


async def _python(files: TreeEdit) -> dict[str, str]:
    found = {}
    for entry in await files.entries():
        if entry.path.endswith(".py") and entry.mode != "120000":
            try:
                found[entry.path] = (await files.read(entry.path)).decode()
            except UnicodeDecodeError:
                continue  # not UTF-8: a person's work
    return found


def _lines(source: str, name: str) -> list[int]:
    """The lines where a name is a name: not in a text, not in a comment."""
    if name not in source:
        return []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    return sorted({line for node in ast.walk(tree) if (line := _line(node, name))})


def _line(node: ast.AST, name: str) -> int | None:
    """The line on which this node has the name."""
    match node:
        case ast.Name(id=found, lineno=line) | ast.alias(name=found, lineno=line) if found == name:
            return line
        case ast.FunctionDef(name=found, lineno=line) | ast.Attribute(attr=found, end_lineno=line) if found == name:
            return line
        case _:
            return None


def _places(sources: dict[str, str], old: str, new: str) -> list[Place]:
    parameters = next((found for source in sources.values() if (found := _parameters(source, old))), [])
    return [place for path, source in sources.items() for place in _of_file(path, source, old, new, parameters)]


def _of_file(path: str, source: str, old: str, new: str, parameters: list[str]) -> Iterator[Place]:
    """Lines that touch are one place, since edits of adjacent lines cannot be merged."""
    lines = source.splitlines(keepends=True)
    groups: list[list[int]] = []
    for line in _lines(source, old):
        if groups and line <= groups[-1][-1] + 1:
            groups[-1].append(line)
        else:
            groups.append([line])
    for group in groups:
        text = "".join(lines[group[0] - 1 : group[-1]]).removesuffix("\n")
        plain = _renamed(text, old, new)
        named = _named(plain, new, parameters) if len(group) == 1 else plain
        forms = list(dict.fromkeys((plain, named)))
        yield {"key": f"{path}:{group[0]}", "path": path, "line": group[0], "text": text, "forms": forms}


def _renamed(text: str, old: str, new: str) -> str:
    """The text with every whole word `old` replaced."""
    return re.sub(rf"(?<!\w){old}(?!\w)", new, text)


def _parameters(source: str, name: str) -> list[str]:
    """The parameters of the function of that name, where the file defines it at its top level."""
    if f"def {name}" not in source:
        return []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [argument.arg for argument in node.args.args]
    return []


def _named(text: str, name: str, parameters: list[str]) -> str:
    """The same line with all arguments after the first named; unchanged where that cannot be told."""
    line = text.strip()
    try:
        tree = ast.parse(
            line.removesuffix(":") if not line.startswith(("def", "class", "if", "for")) else f"{line} pass"
        )
    except SyntaxError:
        return text
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == name]
    if len(calls) != 1 or not 1 < len(calls[0].args) <= len(parameters) or not line.isascii():
        return text
    call = calls[0]
    indent = len(text) - len(text.lstrip())
    for argument, parameter in reversed(list(zip(call.args[1:], parameters[1:], strict=False))):
        if isinstance(argument, ast.Starred):
            return text
        at = indent + argument.col_offset
        text = f"{text[:at]}{parameter}={text[at:]}"
    return text


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""
