"""Writing a first plan."""

from __future__ import annotations

from pathlib import Path

from tenuto.adapters.plans.templates import init_files
from tenuto.errors import StorageError

__all__ = ["write_first_plan"]


def write_first_plan(directory: Path) -> tuple[list[str], list[str]]:
    """Write the files of a small plan; which were written, and which were there already and left alone."""
    written, kept = [], []
    for name, text in init_files().items():
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            kept.append(name)
        except OSError as error:
            raise StorageError(
                f"cannot be written ({error.strerror})", where=str(path), fix="choose another directory"
            ) from None
        else:
            written.append(name)
    return written, kept
