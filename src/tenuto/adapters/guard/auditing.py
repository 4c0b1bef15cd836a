"""Watching step programs at run time: files, processes, the network and threads, by an audit hook of Python.

The hook is added to the process with the first program that is watched, and stays: Python takes none away. Outside a
program it costs the look-up of a name. Clocks, chance, waits and threads raise no events, or not in every version of
Python, and what a run does must not depend on that: `check` and tests look for them.
"""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any

from tenuto.adapters.guard.reaches import ENVIRONMENT, FILES, INPUT, NETWORK, PROCESS, Reach
from tenuto.ports.programs import Guard

__all__ = ["AuditGuard", "place_of"]

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_TRUSTED = frozenset(
    ("importlib._bootstrap", "importlib._bootstrap_external", "linecache", "logging", "pdb", "weakref")
)
"""Modules that reach out for others' sake: imports, tracebacks, logs, the debugger, what is tidied up at any time."""


def _events(reach: Reach, prefix: str, names: str) -> dict[str, Reach]:
    return {f"{prefix}{name}": reach for name in names.split()}


_EVENTS: dict[str, Reach] = {
    "open": FILES,
    **_events(FILES, "os.", "chflags chmod chown link listdir listxattr lockf mkdir remove rename rmdir scandir"),
    **_events(FILES, "os.", "setxattr symlink truncate utime walk fwalk getxattr removexattr"),
    **_events(FILES, "shutil.", "chown copyfile copymode copystat copytree make_archive move rmtree unpack_archive"),
    **_events(FILES, "tempfile.", "mkdtemp mkstemp"),
    **_events(FILES, "", "glob.glob glob.glob/2 pathlib.Path.glob pathlib.Path.rglob sqlite3.connect"),
    **_events(ENVIRONMENT, "os.", "putenv unsetenv chdir fchdir"),
    **_events(PROCESS, "os.", "exec fork forkpty kill killpg posix_spawn spawn system startfile"),
    "subprocess.Popen": PROCESS,
    **_events(NETWORK, "socket.", "__new__ bind connect getaddrinfo gethostbyaddr gethostbyname getnameinfo sendto"),
    **_events(NETWORK, "", "urllib.Request http.client.connect ftplib.connect smtplib.connect"),
    "builtins.input": INPUT,
}


_RUNS: ContextVar[CodeType | None] = ContextVar("tenuto_program_runs", default=None)
"""While a program runs: the code of the function that runs it, which ends the program's frames."""
_REACHED: ContextVar[str] = ContextVar("tenuto_program_reached", default="")
_added: list[bool] = []


class AuditGuard(Guard):
    """Refuses what a program reaches without `ctx`: RuntimeError in its code; its step fails even if that is caught.

    What imports, tracebacks and logging do is not the program's; nor is reading a file of an installed package. A
    line with the comment `# tenuto: allow` is let through.
    """

    def __init__(self) -> None:
        self._outer: CodeType | None = None

    def enter(self) -> None:
        """See `Guard.enter`."""
        if self._outer is None:
            self._outer = sys._getframe(1).f_code
            if not _added:
                _added.append(True)
                sys.addaudithook(_hear)
        _RUNS.set(self._outer)

    def leave(self) -> str:
        """See `Guard.leave`."""
        _RUNS.set(None)
        reached = _REACHED.get()
        if reached:
            _REACHED.set("")
        return reached


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    reach = _EVENTS.get(event)
    if reach is None:
        return
    outer = _RUNS.get()
    if outer is None:
        return
    _RUNS.set(None)  # what is read to judge is not the program's
    try:
        place = None if _is_installed(event, arguments) else place_of(sys._getframe(1), outer)
    finally:
        _RUNS.set(outer)
    if place is not None:
        message = f"a step program reaches {reach.what} without ctx; {reach.fix} ({place})"
        if not _REACHED.get():
            _REACHED.set(message)
        raise RuntimeError(message)


def place_of(inner: FrameType | None, outer: CodeType) -> str | None:
    """`file:line` of the project's code that reached out, within the frame of `outer`; None where it may do so."""
    place, last = "", ""
    while inner is not None and inner.f_code is not outer:
        name, line = inner.f_code.co_filename, inner.f_lineno
        module = inner.f_globals.get("__name__", "")
        if module in _TRUSTED:
            return None
        last = f"{name.rpartition('/')[2]}:{line}"
        if not name.startswith(_INSTALLED) and not name.startswith("<"):
            if "# tenuto: allow" in linecache.getline(name, line):
                return None
            place = place or last
        inner = inner.f_back
    return place or last


def _is_installed(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether only a file of an installed package is read, or a directory of one listed; time zones are like one."""
    if event not in ("open", "os.listdir", "os.scandir") or not arguments:
        return False
    if event == "open":
        mode, flags = (*arguments, None, None)[1:3]
        writes = set(mode) & set("wax+") if isinstance(mode, str) else (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes:
            return False
    try:
        zones = getattr(sys.modules.get("zoneinfo"), "TZPATH", ())
        return os.path.abspath(os.fsdecode(arguments[0])).startswith((*_INSTALLED, *zones))
    except (TypeError, ValueError):
        return False
