"""A tree as the files of a directory that was empty, or not there.

The files are written into a directory of their own inside of it and moved up at the end, so that nobody takes a
part for the whole: a kill leaves that directory behind, and nothing else before the last moment.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from tenuto.adapters.workspace.differences import list_files
from tenuto.adapters.workspace.files import remove_directory
from tenuto.adapters.workspace.paths import shown
from tenuto.adapters.workspace.trees import TreeReader
from tenuto.adapters.workspace.writing import write_files
from tenuto.core.ids import Digest
from tenuto.errors import StorageError, UsageError

__all__ = ["check_out"]

_STAGE = ".tenuto-checkout-"


async def check_out(reader: TreeReader, tree: Digest, directory: Path) -> int:
    """Write a tree to a directory; how many files it has. Directories above are made; the umask holds.

    UsageError where the directory holds anything or cannot be made; StorageError where a file cannot be written:
    nothing of it stays then.
    """
    entries = await list_files(reader, tree)
    made, stage = await asyncio.to_thread(_open, directory)
    whole = False
    try:
        await write_files(reader, stage, entries, exact=False)
        await asyncio.to_thread(_move_up, stage, directory)
        whole = True
    except FileExistsError as error:
        raise StorageError(
            f"two files of the tree have one name in this file system ({shown(str(error.filename or ''))})",
            where=shown(str(directory)),
            fix="name a directory on another one",
        ) from error
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error})"
        raise StorageError(reason, where=shown(str(directory)), fix="name another directory") from error
    finally:
        await asyncio.to_thread(_clean, stage, directory if made and not whole else None)
    return len(entries)


def _open(directory: Path) -> tuple[bool, Path]:
    """Whether the directory was made now, and the place in it for what is not whole yet."""
    where = shown(str(directory))
    made = not os.path.lexists(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with os.scandir(directory) as found:
            first = next(found, None)
        if first is not None:
            raise UsageError(
                f"the directory is not empty: it holds {shown(first.name)}",
                where=where,
                fix="name an empty one, or one that is not there yet",
            )
        return made, Path(tempfile.mkdtemp(prefix=_STAGE, dir=directory))
    except FileExistsError:
        raise UsageError("this is not a directory", where=where, fix="name another one") from None
    except OSError as error:
        reason = f"the directory cannot be made or written ({error.strerror or error})"
        raise UsageError(reason, where=where, fix="name another one") from error


def _move_up(stage: Path, directory: Path) -> None:
    for name in sorted(os.listdir(stage)):
        if os.path.lexists(directory / name):
            raise FileExistsError(0, "", str(directory / name))
        os.rename(stage / name, directory / name)


def _clean(stage: Path, made: Path | None) -> None:
    """Remove what is left of an unfinished checkout, and the directory that was made for it if it is empty."""
    remove_directory(stage)
    if made is not None:
        with suppress(OSError):  # somebody else may have put something there
            made.rmdir()
