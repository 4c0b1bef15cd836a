"""Bringing a result into the user's directory: the only thing that ever writes there.

Order of work, each step safe to repeat after a kill at any moment:

1. compare the directory's tree now with the one the run started from; where they differ, merge three-way and only
   show that (`comparing`);
2. note what is going to be done (`<displaced>/<run>/progress.json`), durable before the first change;
3. file by file, deletions first: look again at what is there. As it is to be: done. As it was when compared: keep a
   copy below `<displaced>/<run>/<n>/`, write the new file beside it, look once more, rename. Anything else: it
   is somebody's new work, so it is left alone and named;
4. note that all is done.

An interrupted apply is found by its note and goes on at 3 with the trees noted there, whatever is asked for. `n`
counts the applies of a run from 1, so that a later one never writes over what an earlier one displaced.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from tenuto.adapters.workspace.apply_note import Progress, locked, note, read_progress
from tenuto.adapters.workspace.comparing import Comparison, Result, compare
from tenuto.adapters.workspace.paths import shown
from tenuto.adapters.workspace.replacing import Replacer, unwritable_directory
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.ids import Digest
from tenuto.core.merging import MergeConflict
from tenuto.errors import StorageError, UsageError
from tenuto.ports.workspace import FileChange

__all__ = ["Applied", "apply_to_directory"]

_BATCH_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What was done, or would be.

    `status`: `applied`; `unchanged` (the directory holds it already); `preview` (others changed files of the
    directory since the run started: nothing was done, ask with `merge=True`); `conflict` (their changes and the
    run's cannot be merged: nothing was done, whatever was asked).
    `changes`: of the directory, before -> after. `foreign`: what others changed since the run started.
    `head_moved`: HEAD names another commit than then, which alone hinders nothing. `left`: paths that changed
    while they were applied, or are in the way although ignored, and were left alone. `displaced`: where the files
    are that were replaced or deleted, if any. `resumed`: an interrupted apply was finished. `tree`: what was, or
    would be, applied.
    """

    changes: tuple[FileChange, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()
    displaced: Path | None = None
    foreign: tuple[FileChange, ...] = ()
    head_moved: bool = False
    left: tuple[str, ...] = ()
    resumed: bool = False
    status: Literal["applied", "unchanged", "preview", "conflict"]
    tree: Digest | None = None


async def apply_to_directory(
    workspace: TreeWorkspace,
    directory: Path,
    result: Result,
    *,
    displaced: Path,
    environment: Mapping[str, str],
    merge: bool = False,
) -> Applied:
    """Bring a result into a directory, or show what a merge would do. See the module's words for the guarantees.

    A directory that is empty or missing (it is made then) gets the whole result: there is nothing to merge with.
    `displaced` is the store's directory for replaced files (`<store>/displaced`); `environment` is what git gets;
    `merge=True` carries out what was shown as a preview. Look at `Applied.left` even where the status is
    `applied`. UsageError where the directory cannot be captured, another apply is at work, or one was interrupted
    that has to be finished first; StorageError where a disk fails (repair it and apply again).
    """
    directory = Path(await asyncio.to_thread(os.path.realpath, directory))
    place = displaced / result.run
    with locked(displaced):
        noted = read_progress(place)
        if noted is not None and not noted.done and noted.directory == str(directory):
            return await _carry_out(workspace, place, noted, resumed=True)
        _refuse_unfinished(displaced, directory, place)
        if await asyncio.to_thread(_made_or_empty, directory):
            now = await workspace.capture(directory)
            found = Comparison(head=None, head_moved=False, now=now, target=result.tree)
        else:
            found = await compare(workspace, directory, result, environment)
        if found.target is None:
            return Applied(
                status="conflict", conflicts=found.conflicts, foreign=found.foreign, head_moved=found.head_moved
            )
        if found.now == found.target:
            return Applied(status="unchanged", foreign=found.foreign, head_moved=found.head_moved, tree=found.target)
        if found.foreign and not merge:
            changes = tuple(await workspace.changes(found.now, found.target))
            return Applied(
                status="preview",
                changes=changes,
                foreign=found.foreign,
                head_moved=found.head_moved,
                tree=found.target,
            )
        number = 1 if noted is None else noted.number + 1
        progress = Progress(after=found.target, before=found.now, directory=str(directory), done=False, number=number)
        applied = await _carry_out(workspace, place, progress, resumed=False)
        return replace(applied, foreign=found.foreign, head_moved=found.head_moved)


def _made_or_empty(directory: Path) -> bool:
    """Whether nothing at all lies in the directory, which is made if need be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return not _holds_anything(directory)
    except FileExistsError:
        raise UsageError("this is not a directory", where=shown(str(directory)), fix="name another one") from None
    except OSError as error:
        reason = f"the directory cannot be made or read ({error.strerror or error})"
        raise UsageError(reason, where=shown(str(directory)), fix="name another one") from error


def _holds_anything(directory: Path) -> bool:
    with os.scandir(directory) as found:
        return next(found, None) is not None


async def _carry_out(workspace: TreeWorkspace, place: Path, progress: Progress, *, resumed: bool) -> Applied:
    changes = await workspace.changes(progress.before, progress.after)
    keep = place / str(progress.number)
    paths = [change.path for change in changes]
    closed = await asyncio.to_thread(unwritable_directory, Path(progress.directory), paths)
    if closed is not None:
        raise StorageError(
            "files in this directory cannot be changed" + ("" if resumed else ", so nothing was done"),
            where=shown(os.path.join(progress.directory, closed)),
            fix="make it writable and apply again",
        )
    await asyncio.to_thread(note, place, progress)
    with await asyncio.to_thread(Replacer, Path(progress.directory), keep, place.name) as replacer:
        going = [change for change in changes if change.after is None]
        coming = [change for change in changes if change.after is not None]
        await asyncio.to_thread(replacer.delete_all, going)
        for batch in _batches(coming):
            bodies = await workspace.bodies({change.after.digest for change in batch if change.after is not None})
            await asyncio.to_thread(replacer.replace_all, batch, bodies)
        await asyncio.to_thread(replacer.sync)
    await asyncio.to_thread(note, place, msgspec.structs.replace(progress, done=True))
    return Applied(
        status="applied",
        changes=tuple(changes),
        displaced=keep if await asyncio.to_thread(_holds_anything, keep) else None,
        left=tuple(replacer.left),
        resumed=resumed,
        tree=progress.after,
    )


def _batches(changes: Sequence[FileChange]) -> Iterator[Sequence[FileChange]]:
    batch: list[FileChange] = []
    size = 0
    for change in changes:
        batch.append(change)
        size += change.after.size if change.after is not None else 0
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _refuse_unfinished(displaced: Path, directory: Path, place: Path) -> None:
    """An interrupted apply comes first: any in this directory, and this run's in another one that is still there."""
    for found in sorted(displaced.glob("*/progress.json")):
        noted = read_progress(found.parent)
        if noted is None or noted.done:
            continue
        here = noted.directory == str(directory)
        if here or (found.parent == place and os.path.isdir(noted.directory)):
            run = found.parent.name
            raise UsageError(
                f"an apply of {run} was interrupted here",
                where=shown(noted.directory),
                fix=f"run tenuto apply {run}" if here else f"run tenuto apply {run} there",
            )
