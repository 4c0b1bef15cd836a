"""Which paths of this machine a sandboxed command sees besides its tree and its grants."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable

__all__ = [
    "existing",
    "found_program",
    "interpreter_prefixes",
    "network_files",
    "search_path",
    "system_links",
]

_NEVER_A_PREFIX = frozenset({"/", "/usr", "/home", "/root", "/tmp", "/etc", "/var", "/opt"})


def interpreter_prefixes() -> tuple[str, ...]:
    """Where this Python and its virtual environment live, outside /usr: readable, so that `python` works."""
    prefixes = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    return tuple(
        sorted(
            one
            for one in prefixes
            if one not in _NEVER_A_PREFIX and not one.startswith("/usr/") and os.path.isdir(one)
        )
    )


def search_path() -> str:
    """The PATH of a command: the virtual environment of this Python, then the system."""
    bins = [f"{prefix}/bin" for prefix in (sys.prefix, sys.base_prefix)]
    return os.pathsep.join(dict.fromkeys((*bins, "/usr/local/bin", "/usr/bin", "/bin")))


def system_links() -> tuple[tuple[str, str], ...]:
    """(/bin, usr/bin) and the like where /usr is merged; a directory of its own gives (path, "")."""
    found = []
    for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(path):
            found.append((path, os.readlink(path)))
        elif os.path.isdir(path):
            found.append((path, ""))
    return tuple(found)


def network_files() -> tuple[tuple[str, str], ...]:
    """(source, name inside) of what a program needs to reach the network: names and certificates."""
    names = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ca-certificates", "/etc/pki")
    return tuple((os.path.realpath(name), name) for name in names if os.path.exists(name))


def found_program(name: str) -> str | None:
    """An absolute path of a program, or None."""
    path = shutil.which(name)
    return os.path.abspath(path) if path else None


def existing(paths: Iterable[str]) -> tuple[str, ...]:
    """Those that exist, once each, in order."""
    return tuple(dict.fromkeys(path for path in paths if os.path.exists(path)))
