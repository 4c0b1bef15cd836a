"""What `tenuto init` writes: small plans that run at once, each with a test."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

__all__ = ["TEMPLATES", "init_files"]

TEMPLATES = {
    "team": "agents answer questions about a repository, one sums them up",
    "commands": "commands in the sandbox, without any model; their files are applied",
    "program": "a Python function as a step, which asks a model several times at once",
}
"""The templates with what each is; the first is what is written where none is named."""


def init_files(template: str) -> dict[str, str]:
    """Paths relative to the project (with `/`) to texts, in order of path. UsageError for an unknown template."""
    if template not in TEMPLATES:
        raise UsageError(f"there is no template {shorten(template)}", fix=did_you_mean(template, TEMPLATES))
    return dict(sorted(_texts(files("tenuto.adapters.plans") / "init" / template, "")))


def _texts(directory: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in directory.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += _texts(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yaml", ".md", ".py")):
            found.append((prefix + entry.name, entry.read_text(encoding="utf-8")))
    return found
