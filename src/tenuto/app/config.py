"""Settings: flags, then `TENUTO_*`, then `tenuto.toml`, then `[tool.tenuto]` in pyproject, then the user's file.

The only module that reads the environment. Secrets are declared here by name; their values are read in
`app/secrets.py`, when a command needs them. A project's root is the nearest directory upwards that holds a
`.tenuto`, `.git` or `tenuto.toml`; the store is `.tenuto` there, unless it is named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenuto.app.setting_files import SettingSource, read_setting_file
from tenuto.core.canonical import clean
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

if TYPE_CHECKING:
    from tenuto.app.secret_entries import SecretSource
    from tenuto.core.models import Price
    from tenuto.core.secret_forms import Pattern
    from tenuto.runtime.pacing import ProviderLimits

__all__ = ["KEYS", "OPENAI_BASE_URL", "Settings", "environment", "find_root", "read_settings", "setting_files"]

KEYS: dict[str, type] = {
    "max_parallel": int,
    "model": str,
    "openai_base_url": str,
    "sandbox": str,
    "store": str,
    "strict": bool,
}
"""What can be set, in every place alike; in the environment as `TENUTO_MAX_PARALLEL` and so on."""
TABLES = ("prices", "profiles", "providers", "secrets", "secret_patterns")
"""What is set in files only, as tables; entries of several files are taken together, by name."""
SANDBOXES = ("bubblewrap", "sandlock", "none")
OPENAI_BASE_URL = "https://api.openai.com/v1"
_OTHER_VARIABLES = {"openai_base_url": ("OPENAI_BASE_URL",)}
"""Variables of others that set something too, after our own."""
_SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
"""How variables say yes and no."""
_MARKS = (".tenuto", ".git", "tenuto.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """All settings of one command. `variables` is the environment; it holds secrets and is never shown.

    `origins`: where each that somebody set was set: `flag`, the name of a variable, or `FILE:LINE`.
    """

    max_parallel: int = 4
    model: str | None = None
    openai_base_url: str = OPENAI_BASE_URL
    origins: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)
    providers: Mapping[str, ProviderLimits] = field(default_factory=dict)
    root: Path
    sandbox: str | None = None
    secret_patterns: Mapping[str, Pattern] = field(default_factory=dict)
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    store: Path
    strict: bool = False
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def openai_api_key(self) -> str:
        return self.variables.get("OPENAI_API_KEY", "")

    @property
    def user(self) -> str:
        """Who is at work, for records of decisions: as the environment says, else the account of the process."""
        return self.variables.get("USER") or self.variables.get("LOGNAME") or _account()

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
    try:
        start = Path(os.path.abspath(start))
    except FileNotFoundError:
        raise UsageError("the working directory is gone", fix="change into one that is there") from None
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
    for source in _sources(root, found, flags or {}):
        for key, value in source.values.items():
            place = source.place(key)
            if key in TABLES:
                _add_table(tables[key], key, value, str(source.file))
                origins.setdefault(key, place)
                continue
            if key in values or value is None:
                continue
            values[key] = _checked(key, value, place)
            origins[key] = place
            if key == "store" and source.file is not None:
                values[key] = str(source.file.parent / values[key])
    store = values.pop("store", None)
    return Settings(
        origins=origins,
        root=root,
        store=Path(os.path.abspath(_store_path(store) if store else root / ".tenuto")),
        variables=found,
        **tables,
        **values,
    )


def _sources(root: Path, variables: Mapping[str, str], flags: Mapping[str, Any]) -> list[SettingSource]:
    """Where values may come from, the strongest first."""
    named: dict[str, str] = {}
    places: dict[str, str] = {}
    for key in KEYS:
        for variable in (f"TENUTO_{key.upper()}", *_OTHER_VARIABLES.get(key, ())):
            if variables.get(variable) and key not in named:
                named[key], places[key] = variables[variable], variable
    sources = [SettingSource(flags, dict.fromkeys(flags, "flag")), SettingSource(named, places)]
    for path, table in setting_files(root, variables):
        found = read_setting_file(path, table, (*KEYS, *TABLES))
        if found is not None:
            sources.append(found)
    return sources


def setting_files(root: Path, variables: Mapping[str, str]) -> tuple[tuple[Path, tuple[str, ...]], ...]:
    """The files that may hold settings, the strongest first, each with the table that holds them."""
    home = variables.get("XDG_CONFIG_HOME") or os.path.join(variables.get("HOME", "/"), ".config")
    return (
        (root / "tenuto.toml", ()),
        (root / "pyproject.toml", ("tool", "tenuto")),
        (Path(home) / "tenuto" / "config.toml", ()),
    )


def _checked(key: str, value: Any, origin: str) -> Any:
    where = f"setting {key} ({origin})"
    if KEYS[key] is int:
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000:
            raise UsageError("this has to be a whole number from 1 to 10000", where=where, fix="write one such as 4")
    elif KEYS[key] is bool:
        value = _SWITCHES.get(value.strip().lower(), value) if isinstance(value, str) else value
        if not isinstance(value, bool):
            raise UsageError("this has to be true or false", where=where, fix="write true, or leave it out")
    elif not isinstance(value, str):
        raise UsageError("this has to be text", where=where, fix="put it between quotes")
    elif key == "model":
        value = clean(value)  # bytes that are not UTF-8 become U+FFFD, as they do at every other entry
    if key == "sandbox" and value not in SANDBOXES:
        raise UsageError(f"there is no sandbox {shorten(value)}", where=where, fix=did_you_mean(value, SANDBOXES))
    return value


def _add_table(held: dict[str, Any], key: str, value: Any, origin: str) -> None:
    """Read one file's table; names that a stronger file declares stay as they are."""
    where = f"setting {key} ({origin})"
    if not isinstance(value, dict):
        raise UsageError("this has to be a table", where=where, fix=f"write [{key}] and a name on each line")
    read = _entry_reader(key)
    for name, entry in value.items():
        if name not in held:
            held[name] = read(name, entry, origin)


def _entry_reader(key: str) -> Callable[[str, Any, str], Any]:
    """What reads an entry of a table; imported where a file has one."""
    if key in ("prices", "profiles", "providers"):
        from tenuto.app.model_entries import READERS

        return READERS[key]
    from tenuto.app.secret_entries import read_pattern_entry, read_secret_entry

    return read_secret_entry if key == "secrets" else read_pattern_entry


def _store_path(store: str) -> str:
    """A store's URL as a path: `file:` and plain paths are known."""
    if "://" in store and not store.startswith("file://"):
        raise UsageError(f"the store {shorten(store)} is of an unknown kind", fix="give a directory, or file://PATH")
    if "\0" in store:
        raise UsageError("the store's path holds a NUL", fix="give a directory")
    return os.path.expanduser(store.removeprefix("file://"))


def _account() -> str:
    """The name of the process's account; its number where it has no name."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
