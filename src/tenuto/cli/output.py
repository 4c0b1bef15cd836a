"""How commands speak: data on stdout, everything else on stderr, errors as one line or one object."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from tenuto.cli.streams import silence
from tenuto.errors import ExitCode, InvalidPlanError, StorageError, TenutoError

__all__ = ["complain", "error_object", "print_json", "say", "tell", "unwritable", "without_secrets"]


def say(line: str = "") -> None:
    """A line of data, on stdout."""
    sys.stdout.write(printable(line) + "\n")


def tell(line: str = "", stream: TextIO | None = None) -> None:
    """A line for people, on stderr where no other stream is given."""
    out = stream or sys.stderr
    try:
        out.write(printable(line) + "\n")
        out.flush()
    except OSError:
        silence(out)  # nobody can be told: what is done goes on


def printable(line: str) -> str:
    """Text from outside may hold what a terminal obeys; it is shown, not obeyed."""
    return "".join(c if c.isprintable() or c in "\t" else _shown(c) for c in line)


def _shown(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def print_json(value: Mapping[str, Any], *, shown: Callable[[str], str] | None = None) -> None:
    """One object on one line, its text passed through `shown`."""
    import msgspec

    try:
        line = msgspec.json.encode(value).decode()
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        line = _ascii(value)
    sys.stdout.write((line if shown is None else shown(line)) + "\n")


def unwritable(error: OSError) -> StorageError:
    """What is said where stdout takes no data: what was done is done, but its answer is lost."""
    return StorageError(f"stdout cannot be written: {error.strerror}", fix="give it a place that can be")


def _ascii(value: Mapping[str, Any]) -> str:
    """JSON for a stream that cannot take all characters, and of text that is none (names of files may be such)."""
    import json

    import msgspec

    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value), separators=(",", ":"))
    return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)


def error_object(error: TenutoError) -> dict[str, Any]:
    """An error as `--json` shows it. An invalid plan lists all its problems."""
    shown: dict[str, Any] = {"code": error.code, "what": error.what, "where": error.where, "fix": error.fix}
    if isinstance(error, InvalidPlanError) and len(error.errors) > 1:
        others = error.errors[1:]
        shown["others"] = [{"what": e.what, "where": e.where, "fix": e.fix} for e in others]
    return {"error": shown}


def without_secrets(text: str) -> str:
    """A message as it may be shown: the secrets of this project are replaced in it."""
    from pathlib import Path

    from tenuto.app.config import read_settings

    try:
        settings = read_settings(Path())
    except TenutoError:
        return text
    if not settings.secrets and not settings.secret_patterns:
        return text
    from tenuto.app.secrets import redactor_of

    return redactor_of(settings).text(text)


def complain(error: TenutoError, *, as_json: bool) -> int:
    """Say what went wrong; the exit code it has."""
    if as_json:
        try:
            print_json(error_object(error), shown=without_secrets)
            sys.stdout.flush()
        except OSError as unwritten:
            silence(sys.stdout)
            return complain(unwritable(unwritten), as_json=False)
    else:
        for line in without_secrets(str(error)).split("\n"):
            tell(f"tenuto: {line}")
    return int(error.exit_code if error.exit_code is not ExitCode.OK else ExitCode.FAILED)
