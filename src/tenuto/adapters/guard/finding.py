"""What a step program would reach without `ctx`, found by reading its source and what it calls of its project."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec

from tenuto.adapters.guard.modules import Module, Modules
from tenuto.adapters.guard.scanning import Scan

__all__ = ["Finding", "find_reaches"]

_DEFINITIONS_MAX = 5_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place in a program's code: `where` is `FILE:LINE:COLUMN`, `fix` the call of `ctx` to use instead."""

    step: str
    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"


def find_reaches(step: str, target: str, directory: Path) -> list[Finding]:
    """What the program `python:module:function` and all it calls of its own project reach, in the order of places.

    Read, not run: what is called by way of values (methods of objects, callbacks) is not seen. A line with the
    comment `# tenuto: allow` is left out.
    """
    module_name, _, name = target.removeprefix("python:").partition(":")
    modules = Modules(directory)
    module = modules.start(module_name)
    if module is None:
        return []
    found: dict[tuple[str, int, int], Finding] = {}
    first = modules.follow(f"{module.name}.{name}")
    waiting = [] if isinstance(first, str) else [first]
    seen: set[tuple[str, str]] = set()
    while waiting and len(seen) < _DEFINITIONS_MAX:
        module, name = waiting.pop()
        if (module.name, name) in seen:
            continue
        seen.add((module.name, name))
        for definition in module.definitions[name]:
            scan = Scan(module, modules, definition)
            waiting += scan.uses
            for hit in scan.hits:
                if not _is_allowed(module, hit.node):
                    place = (str(module.path), hit.node.lineno, hit.node.col_offset + 1)
                    where = ":".join(map(str, place))
                    what = f"step {step} reaches {hit.reach.what} ({hit.name})"
                    found[place] = Finding(step=step, where=where, what=what, fix=hit.reach.fix)
    return [found[place] for place in sorted(found)]


def _is_allowed(module: Module, node: ast.expr) -> bool:
    return any(line in module.allowed for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))
