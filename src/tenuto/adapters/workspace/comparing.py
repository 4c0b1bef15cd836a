"""What a result means for a directory as it is now: the question before anything is applied. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tenuto.adapters.workspace.git import read_head
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.ids import Digest, RunId
from tenuto.core.merging import MergeConflict, MergePlan, TreeToMerge
from tenuto.ports.workspace import FileChange

__all__ = ["Comparison", "Result", "compare", "compare_tree"]


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
    now = await workspace.capture(directory)
    return await compare_tree(workspace, now, result, await read_head(directory, environment))


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
