"""Importing a plan's own Python modules: those that lie beside the plan win."""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from tenuto.errors import UsageError

__all__ = ["import_beside"]

_MARK = "__tenuto_search_path__"


def import_beside(module_name: str, directory: Path, reference: str) -> ModuleType:
    """The module of that name, looked for in `directory` first, as a script's neighbours are.

    The directory is put at the front of `sys.path` and stays there, since functions may import their neighbours
    later. This runs the module's code. UsageError, one line, where it cannot be found or imported.
    """
    directory = directory.resolve()
    here = str(directory)
    if here in sys.path:
        sys.path.remove(here)
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    _make_room(module_name.partition(".")[0], here, reference)
    before = set(sys.modules)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UsageError(
                f"there is no module {module_name}", where=reference, fix=f"put it into {directory}"
            ) from None
        raise UsageError(_blame(error, here), where=reference, fix="install it, or remove the import") from None
    except UsageError as error:
        raise UsageError(str(error), where=reference) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything when imported
        raise UsageError(_blame(error, here), where=reference, fix="it must import without errors") from None
    for name in set(sys.modules) - before:
        loaded = sys.modules[name]
        if _is_below(loaded, here):
            setattr(loaded, _MARK, here)
    return module


def _make_room(top: str, here: str, reference: str) -> None:
    """Let `here` win over modules of the same names that were loaded for another plan. Others are not touched."""
    # vars(), not getattr(): lazy modules answer every getattr by importing something.
    other = [name for name, module in sys.modules.items() if getattr(module, "__dict__", {}).get(_MARK, here) != here]
    for name in other:
        if PathFinder.find_spec(name.partition(".")[0], [here]) is not None:
            del sys.modules[name]
    loaded = sys.modules.get(top)
    if loaded is None or _is_below(loaded, here) or PathFinder.find_spec(top, [here]) is None:
        return
    raise UsageError(f"the name {top!r} belongs to a module of Python or of tenuto", where=reference, fix="rename it")


def _is_below(module: ModuleType, here: str) -> bool:
    origins = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", [])]
    return any(origin and Path(origin).is_relative_to(here) for origin in origins)


def _blame(error: BaseException, here: str) -> str:
    """The error on one line, with the last line of the user's own code that led to it."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError):
        return text
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(here)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}: {text}" if own else text
