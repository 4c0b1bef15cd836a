"""Merging trees three-way, in plan order: rule 2.

Trees are folded in one after the other. For each, every path is looked at on its own: (base, ours, theirs) of
mode and body.

- Changed on one side only, or alike on both: taken.
- Regular files: the body and the executable bit are merged apart; bodies by lines (`texts`), whole where one is
  binary. Two new files with one path are merged with an empty base.
- Everything else is a conflict of the whole path: `deleted` (against changed), `symlink`, `binary`, `large` (more
  bytes than are compared), `mode` (two equal new files of which one is executable), and `directory` (a file against
  files below it).
- A rename is a deletion and a new file.

What a conflict takes is the policy's: `fail` and `agent` nothing, `prefer` the side of the step it names where
that step is one of the two, `older` the base. A side's text is taken for the conflicting lines, its whole entry
where there are no lines. For `agent` there is a tree with conflict markers in its texts (`marking`); a marked
conflict is one line to the trees folded in after it, so they get around it, never into it.

Nothing depends on when a tree arrived, and folding in trees that do not conflict gives the same tree in any order.

Who is named with a conflict: of the trees folded in before, the last one that changed the place (the conflicting
lines, or the path) as compared with the base at hand, or the preferred one if it did too; then the step whose tree
is folded in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tenuto.adapters.workspace.clashes import below, clashes
from tenuto.adapters.workspace.differences import list_changes
from tenuto.adapters.workspace.judging import Judge
from tenuto.adapters.workspace.lines import split_lines
from tenuto.adapters.workspace.marking import mark_conflict
from tenuto.adapters.workspace.narrowing import narrow_tree
from tenuto.adapters.workspace.overlay import TreeOverlay
from tenuto.adapters.workspace.texts import Region, Side, Versions, is_text, merge_lines, touches
from tenuto.adapters.workspace.trees import DIRECTORY, FILE, SYMLINK, Node, TreeReader
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest
from tenuto.core.merging import MergeConflict, MergedTree, MergePlan, MergePolicy
from tenuto.errors import MergeConflictError
from tenuto.ports.workspace import FileChange, TreeEntry

__all__ = ["RULE", "merge_trees"]

RULE = 2
"""Rule 1, which old records name, took texts that are not UTF-8 for binary ones."""

TEXT_BYTES_MAX = 16 << 20
"""Longer files are merged as a whole: lines cost many times their bytes in memory."""
_QUICK_BYTES = 200_000

_OLDER = MergePolicy(kind="older")

Outcome = TypeVar("Outcome")
Marked = dict[str, tuple[Digest, Sequence[bytes]]]
"""Texts with marked conflicts: their digest, and their lines, each conflict as one."""


async def merge_trees(reader: TreeReader, plan: MergePlan) -> MergedTree:
    """The outcome of a merge plan; blobs of the tree are stored before it is returned."""
    return await _merge(reader, plan, plan.policy)


async def _merge(reader: TreeReader, plan: MergePlan, policy: MergePolicy) -> MergedTree:
    conflicts: list[MergeConflict] = []
    earlier = [(plan.step, plan.tree)]
    ours = plan.tree
    whole = True
    marked: Marked = {}
    for other in plan.others:
        base = other.base
        if isinstance(base, MergePlan):
            merged = (await _merge(reader, base, _OLDER)).tree
            if merged is None:
                raise MergeConflictError("the base of a merge could not be made", where=other.step)
            base = merged
        judge = Judge(policy, other.step, tuple(earlier))
        fold = _Fold(reader, judge, base, ours, other.tree, marked)
        ours = await fold.run()
        conflicts += sorted(fold.conflicts, key=lambda conflict: (conflict.path, conflict.steps))
        whole = whole and not fold.open
        earlier.append((other.step, other.tree))
    found = tuple(conflicts)
    if not whole:
        return MergedTree(conflicts=found, marked=ours if policy.kind == "agent" else None, rule=RULE)
    if plan.reads:
        part = await narrow_tree(reader, ours, plan.reads)
        return MergedTree(conflicts=found, rule=RULE, tree=part, whole=ours)
    return MergedTree(conflicts=found, rule=RULE, tree=ours)


@dataclass(slots=True)
class _Fold:
    """Folding one tree in. Where a conflict stays open, ours stands, and `open` is set."""

    reader: TreeReader
    judge: Judge
    base: Digest
    ours: Digest
    theirs: Digest
    marked: Marked
    conflicts: list[MergeConflict] = field(default_factory=list)
    open: bool = False
    bodies: dict[Digest, bytes] = field(default_factory=dict)

    async def run(self) -> Digest:
        if self.theirs in (self.base, self.ours):
            return self.ours
        if self.ours == self.base:
            return self.theirs
        mine = {change.path: change for change in await list_changes(self.reader, self.base, self.ours)}
        other = {change.path: change for change in await list_changes(self.reader, self.base, self.theirs)}
        overlay = TreeOverlay(self.reader, self.ours)
        tops = clashes(mine.values(), other.values())
        for top in tops:
            await self._clash(overlay, top)
        decided: list[tuple[str, Node | None]] = []
        for path, change in other.items():
            if not below(path, tops):
                own = mine.get(path)
                after = _node(change.after) if own is None else await self._path(path, own, change)
                decided.append((path, after))
        for path, node in decided:
            if node is None and not _is_directory(await overlay.find(path)):
                await overlay.remove(path)
        for path, node in decided:
            if node is not None:
                await overlay.put(path, node)
        blobs = list(self.bodies.values())
        tree = overlay.seal(blobs)
        if blobs:
            await self.reader.blobs.put_many(blobs)
        return tree

    async def _path(self, path: str, mine: FileChange, other: FileChange) -> Node | None:
        """One path that both sides changed."""
        base, ours, theirs = _node(mine.before), _node(mine.after), _node(other.after)
        if ours == theirs:
            return ours
        if ours is None or theirs is None:
            return await self._whole(path, "deleted", base, ours, theirs)
        if SYMLINK in (ours.mode, theirs.mode):
            return await self._whole(path, "symlink", base, ours, theirs)
        regular = base if base is not None and base.mode != SYMLINK else None
        mode = _mode(regular, ours, theirs)
        if ours.digest == theirs.digest:
            if mode is None:
                return await self._whole(path, "mode", base, ours, theirs)
            return Node(mode, ours.digest, ours.size)
        if regular is None and self.judge.policy.kind == "older":
            return await self._whole(path, "text", base, ours, theirs)
        body = await self._bodies_merged(path, regular, ours, theirs)
        if body is None:
            return ours
        if mode is None:
            side = await self._settle(path, "mode", base, ours, theirs)
            mode = {"ours": ours.mode, "theirs": theirs.mode}.get(side or "ours", FILE)
        return Node(mode, body.digest, body.size)

    async def _bodies_merged(self, path: str, base: Node | None, ours: Node, theirs: Node) -> Node | None:
        """The merged body of a regular file; None where a conflict stays open."""
        if base is not None and base.digest in (ours.digest, theirs.digest):
            return theirs if base.digest == ours.digest else ours
        if max(node.size for node in (base, ours, theirs) if node is not None) > TEXT_BYTES_MAX:
            return await self._whole(path, "large", base, ours, theirs)
        found = await self.reader.bodies([node.digest for node in (base, ours, theirs) if node is not None])
        old = b"" if base is None else found[base.digest]
        left, right = found[ours.digest], found[theirs.digest]
        if not (is_text(old) and is_text(left) and is_text(right)):
            return await self._whole(path, "binary", base, ours, theirs)
        changed = [
            (step, body)
            for step, body in [(step, await self._body(tree, path)) for step, tree in self.judge.earlier]
            if body is not None and body != old
        ]
        settled: list[MergeConflict] = []

        def settle(region: Region) -> Side | None:
            owners = [step for step, body in changed if touches(old, body, region)]
            side, conflict = self.judge.decide(path, "text", owners)
            conflict = self.judge.explained(conflict, base, ours, theirs)
            if conflict not in settled:
                settled.append(conflict)
            self.open = self.open or side is None
            return side

        def mark(region: Region, versions: Versions) -> bytes:
            owners = [step for step, body in changed if touches(old, body, region)]
            return mark_conflict(versions, self.judge.decide(path, "text", owners)[1].steps[0], self.judge.step)

        known, own = self.marked.get(path, (None, ()))
        merged, conflicts = await _unblocked(
            len(left) + len(right),
            lambda: merge_lines(
                split_lines(old),
                own if known == ours.digest else split_lines(left),
                split_lines(right),
                settle,
                mark if self.judge.policy.kind == "agent" else None,
            ),
        )
        self.conflicts += settled
        if merged is None:
            return None
        body = b"".join(merged)
        node = Node(ours.mode, digest(body), len(body))
        self.bodies[node.digest] = body
        if conflicts or known == ours.digest:
            self.marked[path] = (node.digest, merged)
        return node

    async def _whole(
        self, path: str, reason: str, base: Node | None, ours: Node | None, theirs: Node | None
    ) -> Node | None:
        """A conflict that takes a side's entry as it is. `ours` stands where it stays open."""
        side = await self._settle(path, reason, base, ours, theirs)
        if side is None and self.judge.policy.kind == "agent":
            return ours or theirs
        return {"base": base, "theirs": theirs}.get(side or "ours", ours)

    async def _clash(self, overlay: TreeOverlay, top: str) -> None:
        """A file on one side and files below it on the other: all of it is taken from one side."""
        found = [await self.reader.find(tree, top) for tree in (self.base, self.ours, self.theirs)]
        side = await self._settle(top, "directory", *found)
        if side is None or side == "ours":
            return
        node = await self.reader.find(self.theirs if side == "theirs" else self.base, top)
        await overlay.remove(top)
        if node is not None:
            await overlay.put(top, node)

    async def _settle(
        self, path: str, reason: str, base: Node | None, ours: Node | None, theirs: Node | None
    ) -> Side | None:
        """Record a conflict of a whole path and say whose side it takes."""
        before = await self.reader.find(self.base, path)
        owners = [step for step, tree in self.judge.earlier if await self.reader.find(tree, path) != before]
        side, conflict = self.judge.decide(path, reason, owners)
        self.conflicts.append(self.judge.explained(conflict, base, ours, theirs))
        self.open = self.open or side is None
        return side

    async def _body(self, tree: Digest, path: str) -> bytes | None:
        node = await self.reader.find(tree, path)
        return None if node is None or node.mode in (DIRECTORY, SYMLINK) else await self.reader.body(node.digest)


async def _unblocked(size: int, work: Callable[[], Outcome]) -> Outcome:
    """Do what takes long for long texts, without a stop of everything else."""
    return work() if size < _QUICK_BYTES else await asyncio.to_thread(work)


def _is_directory(node: Node | None) -> bool:
    """Whether one stands now where a file was that both sides deleted: one of them made it there."""
    return node is not None and node.mode == DIRECTORY


def _node(entry: TreeEntry | None) -> Node | None:
    return None if entry is None else Node(entry.mode, entry.digest, entry.size)


def _mode(base: Node | None, ours: Node, theirs: Node) -> str | None:
    """The merged mode of a regular file; None where two new ones differ. With a base one side has kept it."""
    if ours.mode == theirs.mode:
        return ours.mode
    if base is None:
        return None
    return theirs.mode if base.mode == ours.mode else ours.mode
