"""The values of secrets, where a command needs them.

Values are read from the environment or from files, never from the configuration itself, and they leave this module
in two ways only: to the tools of a step that was granted them, and into the redactor that keeps them out of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from tenuto.app.config import Settings
from tenuto.app.secret_entries import SecretSource
from tenuto.core.problems import shorten
from tenuto.core.redaction import Redactor
from tenuto.core.secret_forms import SHORTEST
from tenuto.errors import UsageError

__all__ = ["SECRET_CHARS_MAX", "redactor_of", "require_secrets", "values_of"]

SECRET_CHARS_MAX = 64 << 10
"""Characters of the longest value."""


def values_of(settings: Settings) -> dict[str, str]:
    """The values of all declared secrets that are there; what cannot be used is left to `require_secrets`."""
    found = {}
    for name, source in settings.secrets.items():
        value, _ = _read(source, settings.variables)
        if value is not None:
            found[name] = value
    return found


def redactor_of(settings: Settings, values: Mapping[str, str] | None = None) -> Redactor:
    """What replaces the declared secrets and patterns in everything that enters the engine."""
    if not settings.secrets and not settings.secret_patterns:
        return Redactor({})
    return Redactor(values_of(settings) if values is None else values, settings.secret_patterns)


def require_secrets(settings: Settings, names: set[str]) -> None:
    """Refuse to start steps whose secrets are not there or cannot be hidden. UsageError names the first."""
    for name in sorted(names):
        source = settings.secrets.get(name)
        if source is None:
            raise UsageError(
                f"there is no secret {shorten(name)}", fix="declare it in tenuto.toml: " + _declaration(name)
            )
        value, why = _read(source, settings.variables)
        if value is None:
            raise UsageError(why, where=f"secret {name} ({source.origin})", fix=_remedy(source))


def _declaration(name: str) -> str:
    return f'secrets = {{ {name} = {{ env = "{name}" }} }}'


def _remedy(source: SecretSource) -> str:
    return f"set {source.env} to it" if source.env is not None else f"write it to {source.file}"


def _read(source: SecretSource, variables: Mapping[str, str]) -> tuple[str | None, str]:
    """A value that can be used, or None and why there is none. The line end at a file's end is not part of it."""
    if source.env is not None:
        value = variables.get(source.env)
        if not value:
            return None, f"the variable {source.env} is not set"
    else:
        assert source.file is not None
        try:
            data = source.file.read_bytes()[: 4 * SECRET_CHARS_MAX + 1]
            value = data.decode().removesuffix("\n").removesuffix("\r")
        except OSError as error:
            return None, f"the file {source.file} cannot be read ({error.strerror})"
        except UnicodeDecodeError:
            return None, f"the file {source.file} holds no UTF-8 text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return None, "its value is no UTF-8 text"
    if "\0" in value or len(value) > SECRET_CHARS_MAX:
        return None, f"its value holds a NUL or has more than {SECRET_CHARS_MAX} characters"
    if len(value) < SHORTEST:
        return None, f"its value has fewer than {SHORTEST} characters, so it cannot be told from other text"
    return value, ""
