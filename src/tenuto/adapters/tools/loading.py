"""Finding a plan's own Python tools: `python:module` or `python:module:name`, beside the plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenuto.adapters.importing import import_beside
from tenuto.adapters.tools.functions import FunctionTool
from tenuto.errors import UsageError

__all__ = ["load_function_tools"]


def load_function_tools(reference: str, search_path: Path) -> Sequence[FunctionTool]:
    """The tools that a module defines or imports, by name; with `:name` that one alone.

    The module is looked for in `search_path` first (`import_beside`). UsageError, one line, where it cannot be
    found or imported, or has no such tool.
    """
    scheme, _, rest = reference.partition(":")
    module_name, _, name = rest.partition(":")
    if scheme != "python" or not all(part.isidentifier() for part in module_name.split(".")):
        raise UsageError(
            f"{reference!r} is no reference to Python tools", fix="write python:module or python:module:name"
        )
    module = import_beside(module_name, search_path, reference)
    tools = {key: value for key, value in vars(module).items() if isinstance(value, FunctionTool)}
    if not name:
        if not tools:
            raise UsageError(
                f"{module_name} defines no tools", where=reference, fix="decorate its functions with @tool()"
            )
        unique = {id(one): one for one in tools.values()}
        return tuple(sorted(unique.values(), key=lambda one: one.spec.name))
    if name not in tools:
        fix = f"it has {', '.join(sorted(tools))}" if tools else "decorate the function with @tool()"
        raise UsageError(f"{module_name} has no tool {name!r}", where=reference, fix=fix)
    return (tools[name],)
