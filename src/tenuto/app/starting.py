"""Writing a first plan."""

from __future__ import annotations

from pathlib import Path

from tenuto.adapters.plans.templates import TEMPLATES, init_files
from tenuto.errors import StorageError

__all__ = ["TEMPLATES", "write_first_plan"]


def write_first_plan(directory: Path, template: str) -> tuple[list[str], list[str]]:
    """Write the files of a template; which were written, and which were there already and left alone.

    UsageError for an unknown template.
    """
    written, kept = [], []
    for name, text in init_files(template).items():
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
