"""What a policy makes of a conflict, and who is named with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from tenuto.adapters.workspace.texts import Side
from tenuto.adapters.workspace.trees import DIRECTORY, Node
from tenuto.core.ids import Digest
from tenuto.core.merging import MergeConflict, MergePolicy

__all__ = ["Judge"]


@dataclass(frozen=True, slots=True)
class Judge:
    """Of the fold of one tree, that of `step`, into what the `earlier` ones (in plan order) came to."""

    policy: MergePolicy
    step: str
    earlier: Sequence[tuple[str, Digest]]

    def decide(self, path: str, reason: str, owners: Sequence[str]) -> tuple[Side | None, MergeConflict]:
        """Whose side is taken, and the conflict as it is told. `owners`: the earlier steps that changed the place."""
        owner = owners[-1] if owners else self.earlier[-1][0]
        if self.policy.kind == "older":
            return "base", MergeConflict(path=path, reason=reason, steps=(owner, self.step))
        if self.policy.kind == "prefer":
            wanted = self.policy.prefer
            if wanted == self.step:
                return "theirs", MergeConflict(path=path, reason=reason, steps=(owner, self.step), taken=wanted)
            if wanted is not None and wanted in owners:
                return "ours", MergeConflict(path=path, reason=reason, steps=(wanted, self.step), taken=wanted)
        return None, MergeConflict(path=path, reason=reason, steps=(owner, self.step))

    def explained(
        self, conflict: MergeConflict, base: Node | None, ours: Node | None, theirs: Node | None
    ) -> MergeConflict:
        """With the three bodies, where an agent is to resolve it."""
        if self.policy.kind != "agent":
            return conflict
        before, mine, other = (
            None if node is None or node.mode == DIRECTORY else node.digest for node in (base, ours, theirs)
        )
        return replace(conflict, base=before, ours=mine, theirs=other)
