"""The settings as people look at them: each with its value and its origin. Never a secret."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tenuto.app.config import KEYS, Settings, setting_files
from tenuto.app.secrets import values_of

__all__ = ["Configured", "NamedSecret", "configured", "configured_secrets", "files_of"]

_USER = re.compile(r"(?<=://)[^/@\s]*@")


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """A setting. `origin`: `flag`, a variable, `FILE:LINE`, or `default`; `value` is null where nothing is set."""

    key: str
    value: str | int | bool | None
    origin: str


class NamedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret by its name and where its value is; `usable`: a value is there."""

    name: str
    source: str
    usable: bool


def configured(settings: Settings) -> list[Configured]:
    """Every setting, in the order of their names."""
    return [
        Configured(key=key, value=_shown(getattr(settings, key)), origin=settings.origins.get(key, "default"))
        for key in sorted(KEYS)
    ]


def _shown(value: Any) -> str | int | bool | None:
    """A value without the user and password that a URL may carry."""
    if value is None or isinstance(value, int):
        return value
    return _USER.sub("***@", str(value))


def configured_secrets(settings: Settings) -> list[NamedSecret]:
    """What is declared as secret, and the key of OpenAI, by name."""
    there = values_of(settings)
    found = [
        NamedSecret(name="OPENAI_API_KEY", source="variable OPENAI_API_KEY", usable=bool(settings.openai_api_key))
    ]
    for name, source in sorted(settings.secrets.items()):
        where = f"variable {source.env}" if source.env is not None else f"file {source.file}"
        found.append(NamedSecret(name=name, source=where, usable=name in there))
    return found


def files_of(settings: Settings) -> list[tuple[str, bool]]:
    """The files that may hold settings, the strongest first, and whether each is there."""
    return [(str(path), path.is_file()) for path, _ in setting_files(settings.root, settings.variables)]
