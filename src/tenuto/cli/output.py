"""How commands speak: data on stdout, everything else on stderr, errors as one line or one object."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tenuto.errors import ExitCode, InvalidPlanError, TenutoError

__all__ = ["complain", "error_object", "print_json", "say", "tell"]


def say(line: str = "") -> None:
    """A line of data, on stdout."""
    sys.stdout.write(printable(line) + "\n")


def tell(line: str = "") -> None:
    """A line for people, on stderr."""
    sys.stderr.write(printable(line) + "\n")
    sys.stderr.flush()


def printable(line: str) -> str:
    """Text from outside may hold what a terminal obeys; it is shown, not obeyed."""
    return "".join(c if c.isprintable() or c in "\t" else _shown(c) for c in line)


def _shown(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def print_json(value: Mapping[str, Any]) -> None:
    """One object on one line."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def error_object(error: TenutoError) -> dict[str, Any]:
    """An error as `--json` shows it. An invalid plan lists all its problems."""
    shown: dict[str, Any] = {"code": error.code, "what": error.what, "where": error.where, "fix": error.fix}
    if isinstance(error, InvalidPlanError) and len(error.errors) > 1:
        others = error.errors[1:]
        shown["others"] = [{"what": e.what, "where": e.where, "fix": e.fix} for e in others]
    return {"error": shown}


def complain(error: TenutoError, *, as_json: bool) -> int:
    """Say what went wrong; the exit code it has."""
    if as_json:
        print_json(error_object(error))
        sys.stdout.flush()
    else:
        for line in str(error).split("\n"):
            tell(f"tenuto: {line}")
    return int(error.exit_code if error.exit_code is not ExitCode.OK else ExitCode.FAILED)
