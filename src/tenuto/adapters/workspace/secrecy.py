"""Keeping secrets out of trees: a file that holds one is refused before anything of it is stored."""

from __future__ import annotations

from tenuto.adapters.workspace.paths import shown
from tenuto.core.redaction import Redactor, placeholder
from tenuto.errors import UsageError

__all__ = ["refuse_secrets"]

_FIX = "remove it from the file, or ignore the file (.gitignore, .tenutoignore)"


def refuse_secrets(redactor: Redactor, path: str, data: bytes) -> None:
    """Raise UsageError where a file, or its name, holds a secret: with the line and the name, never the value."""
    if redactor.idle:
        return
    named = redactor.text(path)
    if named != path:
        raise UsageError("a file's name holds a secret", where=shown(named), fix="rename it")
    found = redactor.find(data)
    if found is not None:
        raise UsageError(f"holds {placeholder(found.name)}", where=f"{shown(path)}:{found.line}", fix=_FIX)
