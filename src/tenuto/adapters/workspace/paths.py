"""Checking paths that come from models, tools and plans, before anything is done with them."""

from __future__ import annotations

import re

from tenuto.adapters.workspace.trees import reserved
from tenuto.core.canonical import digest

__all__ = ["DEPTH_MAX", "PATH_BYTES_MAX", "check_name", "check_path", "is_temporary", "shown", "temporary_of"]

DEPTH_MAX = 200
"""Directories that may stand in one another."""

PATH_BYTES_MAX = 4_000
"""Bytes of the longest path: what Linux opens, with room for the directory above."""
_NAME_BYTES_MAX = 255
_TEMPORARY = re.compile(r"\.tenuto-[0-9a-f]{16}\.new")


def check_path(path: str) -> str:
    """The path in its one form: relative, `/` between names, no `.` parts.

    Raises ValueError for anything that could lead out of the tree or means nothing in it; the message says what
    to do instead. A leading `./` and doubled or trailing slashes are only noise and are dropped.
    """
    if not path:
        raise ValueError("the path is empty; give a path relative to the top of the repository, like src/app.py")
    if "\0" in path:
        raise ValueError(f"the path {path!r} holds a NUL character; remove it")
    if path.startswith(("/", "~")):
        raise ValueError(f"the path {path!r} is not relative; give it relative to the top of the repository")
    if "\\" in path:
        raise ValueError(f"the path {path!r} holds a backslash; write '/' between directories")
    if len(path) > 1 and path[1] == ":" and path[0].isalpha():
        raise ValueError(f"the path {path!r} names a drive; give it relative to the top of the repository")
    names = [name for name in path.split("/") if name not in ("", ".")]
    if not names:
        raise ValueError(f"the path {path!r} names the repository itself; name a file in it")
    if len(names) > DEPTH_MAX + 1:
        raise ValueError(
            f"the path {path[:80]!r}... leads through more than {DEPTH_MAX} directories; use a shorter one"
        )
    for name in names:
        check_name(name, path)
    whole = "/".join(names)
    if len(whole.encode()) > PATH_BYTES_MAX:
        raise ValueError(f"the path {path[:80]!r}... is longer than {PATH_BYTES_MAX} bytes; use a shorter one")
    return whole


def check_name(name: str, path: str) -> None:
    """Raises ValueError for one name on a path that may not stand in a tree."""
    if name == "..":
        raise ValueError(f"the path {path!r} holds '..'; paths may not leave the repository")
    if reserved(name):
        raise ValueError(f"the path {path!r} is inside {name!r}, which no tool may read or change")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the path {path!r} is not valid Unicode; use another name") from None
    if length > _NAME_BYTES_MAX:
        raise ValueError(
            f"a name in the path {path[:80]!r} is longer than {_NAME_BYTES_MAX} bytes; use a shorter one"
        )


def temporary_of(run: str, path: str) -> str:
    """Where an apply of a run writes a file before it puts it in its place: beside it, and always there."""
    above, slash, _ = path.rpartition("/")
    return f"{above}{slash}.tenuto-{digest(f'{run}/{path}'.encode())[:16]}.new"


def is_temporary(name: str) -> bool:
    """Whether a file has a name that only an apply gives, so that a killed one left it behind."""
    return _TEMPORARY.fullmatch(name) is not None


def shown(path: str) -> str:
    """A path from a disk as it can stand in one line of an error, whatever bytes are in it."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
