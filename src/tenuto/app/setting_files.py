"""The files that hold settings: read, with the line of every key."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

__all__ = ["SettingSource", "read_setting_file"]

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?\Z")
_KEY = re.compile(r"\s*(?:\"([^\"]+)\"|'([^']+)'|([A-Za-z0-9_-]+))\s*[=.]")


class SettingSource(NamedTuple):
    """Where values come from. `places` says, for a key, what to call its origin; `file` is the file they stand in."""

    values: Mapping[str, Any]
    places: Mapping[str, str]
    file: Path | None = None

    def place(self, key: str) -> str:
        """What the origin of a key is called: `flag`, a variable, or `FILE:LINE`."""
        return self.places.get(key) or str(self.file or "")


def read_setting_file(path: Path, table: tuple[str, ...], known: Collection[str]) -> SettingSource | None:
    """The settings in a table of a TOML file; None where there is no such file. UsageError with file and line."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path), fix="check its permissions") from None
    if table and b"tenuto" not in data:
        return None
    import tomllib

    try:
        text = data.decode("utf-8")
        found: Any = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        raise UsageError(f"cannot be read as TOML: {error}", where=where, fix="correct it") from None
    for name in table:
        found = found.get(name, {}) if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        what = f"{'.'.join(table)} has to be a table"
        raise UsageError(what, where=str(path), fix=f"write [{'.'.join(table)}] and the settings below it")
    lines = lines_of(text, table)
    places = {key: f"{path}:{lines[key]}" if key in lines else str(path) for key in found}
    for key in found:
        if key not in known:
            raise UsageError(f"there is no setting {shorten(key)}", where=places[key], fix=did_you_mean(key, known))
    return SettingSource(found, places, path)


def lines_of(text: str, table: tuple[str, ...]) -> dict[str, int]:
    """The line on which each key of a table is first written, from 1; a key that is a table counts by its header.

    Reads what people write; for a key in unusual TOML there is no line.
    """
    found: dict[str, int] = {}
    current: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            current = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            if len(current) > len(table) and current[: len(table)] == table:
                found.setdefault(current[len(table)], number)
            continue
        key = _KEY.match(line)
        if key and current == table:
            found.setdefault(key[1] or key[2] or key[3], number)
    return found
