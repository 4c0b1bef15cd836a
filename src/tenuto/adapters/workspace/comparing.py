"""What a result means for a directory as it is now: the question before anything is applied. Only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenuto.adapters.workspace.files import Files
from tenuto.adapters.workspace.git import read_head
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, RunId
from tenuto.core.merging import MergeConflict, MergePlan, TreeToMerge
from tenuto.ports.workspace import FileChange, TreeEntry

__all__ = ["Comparison", "Result", "capture_now", "compare", "compare_tree"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a run started from and came to: `RunStarted.tree`, `.commit` and `.run`, and the tree it ended with."""

    base: Digest
    head: str | None
    run: RunId
    tree: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """`now`: the tree of the directory. `foreign`: what differs in it from the tree the run started from.

    `target`: the tree that the directory should hold: the result where nothing is foreign, else the three-way
    merge (base: the start, ours: now, theirs: the result); None where that has `conflicts`.
    `head`: the commit that HEAD names now; `head_moved`: whether it is another one than at the start. That alone
    is no foreign change: whoever commits what the run started from has changed no file.
    """

    conflicts: tuple[MergeConflict, ...] = ()
    foreign: tuple[FileChange, ...] = ()
    head: str | None
    head_moved: bool
    now: Digest
    target: Digest | None


async def compare(
    workspace: TreeWorkspace, directory: Path, result: Result, environment: Mapping[str, str]
) -> Comparison:
    """Look at the directory afresh. UsageError where it cannot be captured; `environment` is what git gets."""
    now = await capture_now(workspace, directory, result)
    return await compare_tree(workspace, now, result, await read_head(directory, environment))


async def capture_now(workspace: TreeWorkspace, directory: Path, result: Result) -> Digest:
    """The tree of a directory as it is to be compared with a result.

    Files that the run started from belong to it, whatever ignore files say by now; so do ignored files that the
    run made, where they are there as it made them. So a result that is in place is found to be.
    """
    before = {entry.path for entry in await workspace.entries(result.base)}
    now = await workspace.capture(directory, tracked=before)
    seen = before | {entry.path for entry in await workspace.entries(now)}
    made = [entry for entry in await workspace.entries(result.tree) if entry.path not in seen]
    there = await asyncio.to_thread(_there, directory, made)
    return await workspace.put(now, there) if there else now


def _there(directory: Path, entries: Sequence[TreeEntry]) -> list[TreeEntry]:
    """Those of the files that are in a directory exactly so."""
    with Files(directory) as files:
        return [entry for entry in entries if _is_there(files, entry)]


def _is_there(files: Files, entry: TreeEntry) -> bool:
    try:
        stamp = files.stamp(entry.path)
        if stamp is None or stamp.size != entry.size:
            return False
        body = files.read(entry.path)
    except OSError:
        return False
    return body is not None and body.mode == entry.mode and digest(body.data) == entry.digest


async def compare_tree(workspace: TreeWorkspace, now: Digest, result: Result, head: str | None) -> Comparison:
    """The same for files that were looked at already; `head` is the commit that HEAD names now."""
    head_moved = result.head is not None and head != result.head
    if now in (result.base, result.tree):
        return Comparison(head=head, head_moved=head_moved, now=now, target=result.tree)
    theirs = TreeToMerge(base=result.base, step=str(result.run), tree=result.tree)
    merged = await workspace.merge(MergePlan(step="directory", tree=now, others=(theirs,)))
    foreign = tuple(await workspace.changes(result.base, now))
    return Comparison(
        conflicts=merged.conflicts, foreign=foreign, head=head, head_moved=head_moved, now=now, target=merged.tree
    )
