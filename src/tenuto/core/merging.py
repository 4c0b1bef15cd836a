"""How trees are merged: policies, merge plans and outcomes, as data."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenuto.core.ids import Digest

__all__ = ["MergeConflict", "MergePlan", "MergePolicy", "MergedTree", "TreeToMerge"]


class MergePolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What to do with a conflict. `older` keeps the base's text: used for bases only, never for results."""

    agent: str | None = None
    kind: Literal["fail", "prefer", "agent", "older"] = "fail"
    prefer: str | None = None


class TreeToMerge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One more tree to fold in. `base` is the tree of the common plan ancestors, or the plan of how to make it."""

    base: Digest | MergePlan
    step: str
    tree: Digest


class MergePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Start from `tree` (the output of `step`), fold in each of `others` in order: plan order, never arrival.

    With `reads`, what comes of it is narrowed to the files that these globs admit.
    """

    others: tuple[TreeToMerge, ...]
    policy: MergePolicy = MergePolicy()
    reads: tuple[str, ...] = ()
    step: str
    tree: Digest


class MergeConflict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One path that two branches changed in ways that cannot both hold. `taken`: whose text the policy took.

    `base`, `ours`, `theirs`: for a conflict that waits for an agent, the bodies of the file before, as merged so far
    (`steps[0]` was the last one there), and of `steps[1]`; None where that side has no file at the path.
    """

    base: Digest | None = None
    ours: Digest | None = None
    path: str
    reason: str = "text"
    steps: tuple[str, ...]
    taken: str | None = None
    theirs: Digest | None = None


class MergedTree(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A merge's outcome. `tree` is None where an unresolved conflict remains. `rule` versions the algorithm.

    `marked`: where such conflicts wait for an agent, the tree to resolve them in. Texts hold conflict markers as git
    writes them, labelled by the steps; else the merged file so far stands, or the one that a side did not delete.
    `whole` is the merged tree where `tree` is only the part of it that was asked for.
    """

    conflicts: tuple[MergeConflict, ...] = ()
    marked: Digest | None = None
    rule: int = 1
    tree: Digest | None = None
    whole: Digest | None = None
