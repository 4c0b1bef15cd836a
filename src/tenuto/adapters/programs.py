"""Python step programs, found by name: `python:module:function`, beside the plan or installed."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenuto.adapters.importing import import_beside
from tenuto.core.ids import Digest
from tenuto.errors import UsageError
from tenuto.ports.programs import Program, ProgramSource

__all__ = ["PythonPrograms"]


class PythonPrograms(ProgramSource):
    """Imports programs; the first directory of `search_path` that holds the module wins, then `sys.path`.

    `code` is the SHA-256 of the function's own source, `where` is `file:line` of its `def`. A program is imported
    once for each object. Importing runs the module's code: plans with programs are trusted code.
    """

    def __init__(self, search_path: Sequence[Path]) -> None:
        self._search_path = tuple(search_path)
        self._loaded: dict[str, Program] = {}

    def load(self, target: str) -> Program:
        """See `ProgramSource.load`."""
        found = self._loaded.get(target)
        if found is None:
            found = self._loaded[target] = self._load(target)
        return found

    def _load(self, target: str) -> Program:
        scheme, _, rest = target.partition(":")
        module_name, _, name = rest.partition(":")
        if scheme != "python" or not name.isidentifier() or not all(p.isidentifier() for p in module_name.split(".")):
            raise UsageError("this names no step program", where=target, fix="write python:module:function")
        module = import_beside(module_name, self._directory(module_name), target)
        function = getattr(module, name, None)
        if function is None:
            raise UsageError(f"the module has no function {name}", where=target, fix=f"define it in {module_name}")
        if not inspect.iscoroutinefunction(function):
            raise UsageError(
                "this is not a step program", where=target, fix=f"define it as `async def {name}(ctx, inputs)`"
            )
        return _program(function, target)

    def _directory(self, module_name: str) -> Path:
        top = module_name.partition(".")[0]
        for directory in self._search_path:
            if (directory / f"{top}.py").is_file() or (directory / top).is_dir():
                return directory
        return self._search_path[0] if self._search_path else Path()


def _program(function: Any, target: str) -> Program:
    try:
        source = inspect.getsource(function)
        file = inspect.getsourcefile(function) or "?"
    except (OSError, TypeError):
        raise UsageError("its source cannot be read", where=target, fix="define it in a .py file") from None
    where = f"{Path(file).name}:{function.__code__.co_firstlineno}"
    return Program(function=function, where=where, code=Digest(hashlib.sha256(source.encode()).hexdigest()))
