"""Listing and comparing trees, one level of directories at a time; equal digests are never opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tenuto.adapters.workspace.trees import DIRECTORY, EMPTY_TREE, Directory, Node, TreeReader
from tenuto.core.ids import Digest
from tenuto.ports.workspace import FileChange, TreeEntry

__all__ = ["entry_of", "list_changes", "list_files"]


class _Pair(NamedTuple):
    prefix: str
    before: Digest
    after: Digest


def entry_of(path: str, node: Node | None) -> TreeEntry | None:
    return None if node is None else TreeEntry(path, node.mode, node.digest, node.size)


async def list_files(reader: TreeReader, tree: Digest, prefix: str = "") -> list[TreeEntry]:
    """All files of a tree, sorted by path. `prefix` is put before every path."""
    found: list[TreeEntry] = []
    level = [(prefix, tree)]
    while level:
        directories = await reader.directories(digest for _, digest in level)
        below: list[tuple[str, Digest]] = []
        for where, digest in level:
            for name, node in directories[digest].items():
                if node.mode == DIRECTORY:
                    below.append((f"{where}{name}/", node.digest))
                else:
                    found.append(TreeEntry(where + name, *node))
        level = below
    found.sort()
    return found


async def list_changes(reader: TreeReader, before: Digest, after: Digest) -> Sequence[FileChange]:
    """The paths at which two trees differ, sorted. A file in place of a directory is changes at all its paths."""
    found: list[FileChange] = []
    level = [] if before == after else [_Pair("", before, after)]
    while level:
        directories = await reader.directories(digest for pair in level for digest in pair[1:])
        below: list[_Pair] = []
        for pair in level:
            _compare(pair, directories, found, below)
        level = below
    found.sort(key=lambda change: change.path)
    return found


def _compare(
    pair: _Pair, directories: Mapping[Digest, Directory], found: list[FileChange], below: list[_Pair]
) -> None:
    old, new = directories[pair.before], directories[pair.after]
    for name in old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        path = pair.prefix + name
        inner_before = before.digest if before is not None and before.mode == DIRECTORY else EMPTY_TREE
        inner_after = after.digest if after is not None and after.mode == DIRECTORY else EMPTY_TREE
        if inner_before != inner_after:
            below.append(_Pair(path + "/", inner_before, inner_after))
        file_before = before if before is not None and before.mode != DIRECTORY else None
        file_after = after if after is not None and after.mode != DIRECTORY else None
        if file_before != file_after:
            found.append(FileChange(path, entry_of(path, file_before), entry_of(path, file_after)))
