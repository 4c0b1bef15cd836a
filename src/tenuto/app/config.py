"""Settings: flags, then `TENUTO_*`, then `tenuto.toml`, then `[tool.tenuto]` in pyproject, then the user's file.

The only module that reads the environment. Secrets are declared here by name; their values are read in
`app/secrets.py`, when a command needs them. A project's root is the nearest directory upwards that holds a
`.tenuto`, `.git` or `tenuto.toml`; the store is `.tenuto` there, unless it is named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

if TYPE_CHECKING:
    from tenuto.app.secret_entries import SecretSource
    from tenuto.core.secret_forms import Pattern

__all__ = ["KEYS", "OPENAI_BASE_URL", "Settings", "environment", "find_root", "read_settings"]

KEYS: dict[str, type] = {
    "max_parallel": int,
    "model": str,
    "openai_base_url": str,
    "sandbox": str,
    "store": str,
}
"""What can be set, in every place alike; in the environment as `TENUTO_MAX_PARALLEL` and so on."""
TABLES = ("secrets", "secret_patterns")
"""What is set in files only, as tables; entries of several files are taken together, by name."""
SANDBOXES = ("bubblewrap", "sandlock", "none")
OPENAI_BASE_URL = "https://api.openai.com/v1"
_MARKS = (".tenuto", ".git", "tenuto.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """All settings of one command. `variables` is the environment; it holds secrets and is never shown."""

    max_parallel: int = 4
    model: str | None = None
    openai_base_url: str = OPENAI_BASE_URL
    origins: Mapping[str, str] = field(default_factory=dict)
    root: Path
    sandbox: str | None = None
    secret_patterns: Mapping[str, Pattern] = field(default_factory=dict)
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    store: Path
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def openai_api_key(self) -> str:
        return self.variables.get("OPENAI_API_KEY", "")

    @property
    def user(self) -> str:
        """Who is at work, for records of decisions; empty where the environment does not say."""
        return self.variables.get("USER") or self.variables.get("LOGNAME") or ""

    @property
    def certificates(self) -> str | None:
        return self.variables.get("SSL_CERT_FILE") or None

    def proxy_for(self, url: str) -> str | None:
        """The proxy that the environment names for a URL, with `no_proxy` taken into account."""
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        named = {name.lower(): value for name, value in self.variables.items() if name.lower().endswith("_proxy")}
        host = f".{parts.hostname or ''}"
        spared = [part.strip() for part in named.get("no_proxy", "").split(",")]
        if any(part == "*" or (part and host.endswith("." + part.lstrip("*."))) for part in spared):
            return None
        return named.get(f"{parts.scheme}_proxy") or named.get("all_proxy") or None


def environment() -> dict[str, str]:
    """A copy of this process's environment."""
    return dict(os.environ)


def find_root(start: Path) -> Path:
    """The project's root for a directory; the directory itself where nothing above it marks one."""
    start = Path(os.path.abspath(start))
    for directory in (start, *start.parents):
        if any(os.path.exists(directory / mark) for mark in _MARKS):
            return directory
    return start


def read_settings(
    start: Path, flags: Mapping[str, Any] | None = None, variables: Mapping[str, str] | None = None
) -> Settings:
    """The settings for work in `start`. UsageError names the file or variable that holds a wrong value."""
    found = dict(environment() if variables is None else variables)
    root = find_root(start)
    values: dict[str, Any] = {}
    tables: dict[str, Any] = {name: {} for name in TABLES}
    origins: dict[str, str] = {}
    for origin, given in _sources(root, found, flags or {}):
        for key, value in given.items():
            if key in TABLES:
                _add_table(tables[key], key, value, origin)
                continue
            if key in values or value is None:
                continue
            values[key] = _checked(key, value, origin)
            origins[key] = origin
            if key == "store" and origin.endswith(".toml"):
                values[key] = str(Path(origin).parent / values[key])
    store = values.pop("store", None)
    return Settings(
        origins=origins,
        root=root,
        store=Path(os.path.abspath(_store_path(store) if store else root / ".tenuto")),
        variables=found,
        **tables,
        **values,
    )


def _sources(
    root: Path, variables: Mapping[str, str], flags: Mapping[str, Any]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Where values may come from, the strongest first."""
    named = {key: variables.get(f"TENUTO_{key.upper()}") or None for key in KEYS}
    if named["openai_base_url"] is None:
        named["openai_base_url"] = variables.get("OPENAI_BASE_URL") or None
    home = variables.get("XDG_CONFIG_HOME") or os.path.join(variables.get("HOME", "/"), ".config")
    sources: list[tuple[str, Mapping[str, Any]]] = [("flag", flags), ("environment", named)]
    for path, table in (
        (root / "tenuto.toml", ()),
        (root / "pyproject.toml", ("tool", "tenuto")),
        (Path(home) / "tenuto" / "config.toml", ()),
    ):
        given = _read_toml(path, table)
        if given is not None:
            sources.append((str(path), given))
    return sources


def _read_toml(path: Path, table: tuple[str, ...]) -> Mapping[str, Any] | None:
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
        found: Any = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is no TOML: {error}", where=str(path), fix="correct it") from None
    for name in table:
        found = found.get(name, {}) if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        raise UsageError(f"{'.'.join(table)} is no table", where=str(path), fix="write [tool.tenuto]")
    for key in found:
        if key not in KEYS and key not in TABLES:
            known = (*KEYS, *TABLES)
            raise UsageError(f"there is no setting {shorten(key)}", where=str(path), fix=did_you_mean(key, known))
    return found


def _checked(key: str, value: Any, origin: str) -> Any:
    where = f"setting {key} ({origin})"
    if KEYS[key] is int:
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000:
            raise UsageError("this is no whole number from 1 to 10000", where=where, fix="write one such as 4")
    elif not isinstance(value, str):
        raise UsageError("this is no text", where=where, fix="put it between quotes")
    if key == "sandbox" and value not in SANDBOXES:
        raise UsageError(f"there is no sandbox {shorten(value)}", where=where, fix=did_you_mean(value, SANDBOXES))
    return value


def _add_table(held: dict[str, Any], key: str, value: Any, origin: str) -> None:
    """Read one file's table of secrets or patterns; names that a stronger file declares stay as they are."""
    from tenuto.app.secret_entries import read_pattern_entry, read_secret_entry

    where = f"setting {key} ({origin})"
    if not isinstance(value, dict):
        raise UsageError("this is no table", where=where, fix=f"write [{key}] and a name on each line")
    for name, entry in value.items():
        if name not in held:
            read = read_secret_entry if key == "secrets" else read_pattern_entry
            held[name] = read(name, entry, origin)


def _store_path(store: str) -> str:
    """A store's URL as a path: `file:` and plain paths are known."""
    if "://" in store and not store.startswith("file://"):
        raise UsageError(f"the store {shorten(store)} is of an unknown kind", fix="give a directory, or file://PATH")
    if "\0" in store:
        raise UsageError("the store's path holds a NUL", fix="give a directory")
    return os.path.expanduser(store.removeprefix("file://"))
