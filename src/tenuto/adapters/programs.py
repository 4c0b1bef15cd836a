"""Python step programs, found by name: `python:module:function`, beside the plan or installed."""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenuto.adapters.guard.modules import Modules
from tenuto.adapters.importing import import_beside
from tenuto.core.ids import Digest
from tenuto.errors import UsageError
from tenuto.ports.programs import DepsCarrier, Guard, Program, ProgramSource

__all__ = ["PythonPrograms"]


class PythonPrograms(ProgramSource):
    """Imports programs; the first directory of `search_path` that holds the module wins, then `sys.path`.

    `code` is the SHA-256 of the function's own source, `modules` that of the sources of its module and of all of the
    project that this imports; `where` is `file:line` of its `def`. A program is imported once for
    each object. Importing runs the module's code: plans with programs are trusted code.

    `deps` is what a program whose first parameter is annotated `Context[Deps]` finds as `ctx.deps`. It is not loaded
    without (UsageError), nor with an object that is no `Deps`. `guard` watches the programs of runs that are started
    with it.
    """

    def __init__(self, search_path: Sequence[Path], deps: Any = None, guard: Guard | None = None) -> None:
        self._search_path = tuple(search_path)
        self._deps = deps
        self._guard = guard
        self._loaded: dict[str, Program] = {}

    def load(self, target: str) -> Program:
        """See `ProgramSource.load`."""
        found = self._loaded.get(target)
        if found is None:
            found = self._loaded[target] = self._load(target)._replace(guard=self._guard)
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
        made = _program(function, target)._replace(modules=_modules_of(module_name, self._directory(module_name)))
        return made._replace(deps=_deps_for(function, self._deps, target))

    def _directory(self, module_name: str) -> Path:
        top = module_name.partition(".")[0]
        for directory in self._search_path:
            if (directory / f"{top}.py").is_file() or (directory / top).is_dir():
                return directory
        return self._search_path[0] if self._search_path else Path()


def _deps_for(function: Any, deps: Any, target: str) -> Any:
    """The deps, for a program that asks for them; UsageError where there are none, or others.

    A program that does not ask gets None: what it does cannot depend on who started the run.
    """
    wanted = _deps_hint(function, target)
    if wanted is None or wanted is type(None):
        return None
    shown = getattr(wanted, "__name__", str(wanted))
    if deps is None:
        what = f"this program needs deps ({shown}), and this run was given none"
        raise UsageError(what, where=target, fix="start it from Python: tenuto.run_sync(plan, deps=...)")
    checked = isinstance(wanted, type) and not getattr(wanted, "_is_protocol", False)
    if checked and not isinstance(deps, wanted):
        what = f"this program needs a {shown} as deps, not a {type(deps).__name__}"
        raise UsageError(what, where=target, fix="give one as deps")
    return deps


def _deps_hint(function: Any, target: str) -> Any:
    """`Deps` where the first parameter is annotated `Context[Deps]`; None where nothing is asked for."""
    first = next(iter(inspect.signature(function).parameters), "")
    try:
        hint = typing.get_type_hints(function).get(first)
    except (NameError, TypeError, AttributeError) as error:
        if "Context[" not in str(function.__annotations__.get(first)):
            return None  # hints that only type checkers can read, and none of ours
        what = f"its type hints cannot be read: {error}"
        raise UsageError(what, where=target, fix="import what they name") from None
    carried = DepsCarrier in getattr(typing.get_origin(hint), "__mro__", ())
    wanted = typing.get_args(hint)[0] if carried else None
    return typing.get_origin(wanted) or wanted


def _modules_of(name: str, directory: Path) -> Digest:
    modules = Modules(directory)
    modules.start(name)
    sources = {module.name: module.source for module in modules.imported_with(name)}
    return Digest(hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest())


def _program(function: Any, target: str) -> Program:
    try:
        source = inspect.getsource(function)
        file = inspect.getsourcefile(function) or "?"
    except (OSError, TypeError):
        raise UsageError("its source cannot be read", where=target, fix="define it in a .py file") from None
    where = f"{Path(file).name}:{function.__code__.co_firstlineno}"
    return Program(function=function, where=where, code=Digest(hashlib.sha256(source.encode()).hexdigest()))
