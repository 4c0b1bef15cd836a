"""From the files of a directory to a tree: bodies are read and stored in batches, then directories, bottom up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from tenuto.adapters.workspace.files import Files, Stamp
from tenuto.adapters.workspace.paths import shown
from tenuto.adapters.workspace.scan import CaptureLimits, Scanned, enclosing_rules, scan
from tenuto.adapters.workspace.secrecy import refuse_secrets
from tenuto.adapters.workspace.trees import DIRECTORY, Node, TreeReader, encode_directory, parse_directory
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.core.redaction import Redactor
from tenuto.errors import UsageError

__all__ = ["capture_directory", "store_bodies", "store_tree"]

_BATCH_BYTES = 16 << 20
_BATCH_FILES = 2_000


async def capture_directory(
    reader: TreeReader, directory: Path, limits: CaptureLimits, tracked: Collection[str] = ()
) -> Digest:
    """The tree of a user's directory. UsageError, one line with the path, for what cannot be taken.

    `tracked`: paths that belong to it where they are there, whatever ignore files say."""
    files = await asyncio.to_thread(_open, directory)
    with files:
        found = await asyncio.to_thread(_scan, directory, files, limits, tracked)
        stored = await store_bodies(reader, directory, files, found)
    return await store_tree(reader, {path: node for path, (_, node) in stored.items()})


def _open(directory: Path) -> Files:
    try:
        return Files(directory)
    except FileNotFoundError:
        raise UsageError("there is no such directory", where=shown(str(directory)), fix="name another one") from None
    except NotADirectoryError:
        raise UsageError("is not a directory", where=shown(str(directory)), fix="name a directory") from None
    except OSError as error:
        reason = f"cannot be opened ({error.strerror})"
        raise UsageError(reason, where=shown(str(directory)), fix="make it readable") from error


def _scan(directory: Path, files: Files, limits: CaptureLimits, tracked: Collection[str]) -> list[Scanned]:
    return scan(directory, files, enclosing=enclosing_rules(directory), tracked=tracked, limits=limits)


async def store_bodies(
    reader: TreeReader, root: Path, files: Files, found: Sequence[Scanned]
) -> dict[str, tuple[Stamp, Node]]:
    """Read and store the bodies of files; never more than a batch of them is in memory.

    A file that vanished since it was found is left out, as if it had vanished before. UsageError where one holds a
    secret: nothing of its batch is stored then.
    """
    found = sorted(found)
    stored: dict[str, tuple[Stamp, Node]] = {}
    at = 0
    while at < len(found):
        batch, at = await asyncio.to_thread(_read_batch, root, files, found, at, reader.redactor)
        digests = await reader.blobs.put_many([data for _, _, _, data in batch])
        for (path, mode, stamp, data), stored_as in zip(batch, digests, strict=True):
            stored[path] = (stamp, Node(mode, stored_as, len(data)))
    return stored


def _read_batch(
    root: Path, files: Files, found: Sequence[Scanned], at: int, redactor: Redactor
) -> tuple[list[tuple[str, str, Stamp, bytes]], int]:
    batch: list[tuple[str, str, Stamp, bytes]] = []
    size = 0
    while at < len(found) and len(batch) < _BATCH_FILES and size < _BATCH_BYTES:
        path = found[at].path
        at += 1
        try:
            body = files.read(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(
                f"cannot be read ({error.strerror or error})",
                where=shown(os.path.join(root, path)),
                fix="make it readable or add it to .tenutoignore",
            ) from error
        if body is not None:
            refuse_secrets(redactor, path, body.data)
            batch.append((path, body.mode, body.stamp, body.data))
            size += len(body.data)
    return batch, at


async def store_tree(reader: TreeReader, files: Mapping[str, Node]) -> Digest:
    """The tree of files whose bodies are stored.

    All directories are put again, also those that were seen before: that refreshes their age, so a sweep that
    runs meanwhile leaves them."""
    blobs: dict[Digest, bytes] = {}
    tree = _build(files.items(), blobs)
    await reader.blobs.put_many(list(blobs.values()))
    for found, blob in blobs.items():
        reader.remember(found, parse_directory(blob, found))
    return tree


def _build(files: Iterable[tuple[str, Node]], blobs: dict[Digest, bytes]) -> Digest:
    """One directory: its files, and for each name with a slash what is below it."""
    entries: dict[str, Node] = {}
    below: dict[str, list[tuple[str, Node]]] = {}
    for path, node in files:
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, []).append((rest, node))
        else:
            entries[name] = node
    for name, inner in below.items():
        entries[name] = Node(DIRECTORY, _build(inner, blobs), 0)
    blob = encode_directory(entries)
    found = digest(blob)
    blobs[found] = blob
    return found
