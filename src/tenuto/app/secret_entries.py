"""How the configuration declares secrets: by name, with the place of the value and never the value itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenuto.core.problems import did_you_mean, shorten
from tenuto.core.secret_forms import BUILTIN_PATTERNS, Pattern, read_pattern
from tenuto.errors import UsageError

__all__ = ["SecretSource", "read_pattern_entry", "read_secret_entry"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_PATTERN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
_EXAMPLE = '{ env = "VARIABLE" } or { file = "PATH" }'


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretSource:
    """Where the value of a secret is: a variable of the environment, or a file. `origin` declares it."""

    env: str | None = None
    file: Path | None = None
    origin: str


def read_secret_entry(name: str, entry: Any, origin: str) -> SecretSource:
    """One entry of the table `secrets`. UsageError; the message never holds a value that was written there."""
    where = f"secret {shorten(name)} ({origin})"
    if not _NAME.match(name) or name.startswith("TENUTO_"):
        raise UsageError(
            "a secret cannot have this name",
            where=where,
            fix="use letters, digits and _; not TENUTO_ at the beginning",
        )
    if not isinstance(entry, dict) or len(entry) != 1 or next(iter(entry)) not in ("env", "file"):
        raise UsageError(
            "a secret says where its value is, and never the value", where=where, fix=f"write {_EXAMPLE}"
        )
    kind, given = next(iter(entry.items()))
    if not isinstance(given, str) or not given or "\0" in given or (kind == "env" and "=" in given):
        raise UsageError(f"{kind} is no text that can name one", where=where, fix=f"write {_EXAMPLE}")
    if kind == "env":
        return SecretSource(env=given, origin=origin)
    return SecretSource(file=Path(origin).parent / Path(given).expanduser(), origin=origin)


def read_pattern_entry(name: str, entry: Any, origin: str) -> Pattern:
    """One entry of the table `secret_patterns`: `true` for a listed one, or `BEGINNING[characters]{least,most}`."""
    where = f"secret pattern {shorten(name)} ({origin})"
    if entry is True:
        if name not in BUILTIN_PATTERNS:
            raise UsageError(
                "no pattern is listed under this name", where=where, fix=did_you_mean(name, BUILTIN_PATTERNS)
            )
        return read_pattern(BUILTIN_PATTERNS[name])
    if not isinstance(entry, str) or not _PATTERN_NAME.match(name):
        raise UsageError("this is not a pattern", where=where, fix='write for example acme = "acme_[0-9a-f]{32}"')
    try:
        return read_pattern(entry)
    except ValueError as error:
        raise UsageError(str(error), where=where, fix='write for example "acme_[0-9a-f]{32}"') from None
