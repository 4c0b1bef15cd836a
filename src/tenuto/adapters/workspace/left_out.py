"""Which paths a capture of a directory leaves out, asked of its tree instead of its disk."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tenuto.adapters.workspace.ignores import Rules, parse_rules
from tenuto.adapters.workspace.paths import is_temporary
from tenuto.adapters.workspace.scan import IGNORE_FILES, enclosing_rules
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import SYMLINK, reserved
from tenuto.core.ids import Digest

__all__ = ["LeftOut"]


class LeftOut:
    """Paths begin with `prefix`, the directory's own path below the top of its repository."""

    def __init__(self, prefix: str, rules: Mapping[str, Rules]) -> None:
        self._prefix = prefix
        self._rules = rules

    @classmethod
    async def of(cls, workspace: TreeWorkspace, directory: Path, tree: Digest, prefix: str) -> Self:
        """By the ignore files in `tree`, a capture of `directory`, and those of the repository around it."""
        entries = [
            entry
            for entry in await workspace.entries(tree)
            if entry.path.rpartition("/")[2] in IGNORE_FILES and entry.mode != SYMLINK
        ]
        bodies = await workspace.bodies({entry.digest for entry in entries})
        files = {entry.path: bodies[entry.digest] for entry in entries}
        rules = {"": (await asyncio.to_thread(enclosing_rules, directory)).rules}
        for above in sorted({"", *(path.rpartition("/")[0] for path in files)}):
            names = [f"{above}/{name}" if above else name for name in IGNORE_FILES]
            own = [rule for name in names if name in files for rule in parse_rules(files[name])]
            inside = f"{prefix}{above}/" if above else prefix
            rules[above] = _nearest(rules, above).below(inside, own)
        return cls(prefix, rules)

    def holds(self, path: str) -> bool:
        """Whether a file is left out, by itself or with a directory above it."""
        names = path[len(self._prefix) :].split("/")
        for depth, name in enumerate(names):
            inside = "/".join(names[: depth + 1])
            rules = _nearest(self._rules, inside.rpartition("/")[0])
            is_directory = depth < len(names) - 1
            if (
                reserved(name)
                or is_temporary(name)
                or rules.ignored(self._prefix + inside, name, is_directory=is_directory)
            ):
                return True
        return False


def _nearest(rules: Mapping[str, Rules], directory: str) -> Rules:
    """The rules that hold in a directory: its own, or of the first one above that has some."""
    while directory not in rules:
        directory = directory.rpartition("/")[0]
    return rules[directory]
