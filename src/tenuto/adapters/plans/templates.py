"""What `tenuto init` writes: a small plan that runs at once, with its agents and prompts."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

__all__ = ["init_files"]


def init_files() -> dict[str, str]:
    """Paths relative to the project (with `/`) to texts, in order of path."""
    return dict(sorted(_texts(files("tenuto.adapters.plans") / "init", "")))


def _texts(directory: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in directory.iterdir():
        if entry.is_dir():
            found += _texts(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yaml", ".md")):
            found.append((prefix + entry.name, entry.read_text(encoding="utf-8")))
    return found
