"""The part of a tree that globs admit: what a step with `reads` sees.

Globs are lines of a gitignore file, read from the top of the tree: `src/`, `*.md`, `/docs/**/*.png`, `!draft.md`;
the last one that matches decides, and a directory that is admitted is in whole. Ignore files are always in:
they say what a capture leaves out, so a tree without them would take in what the whole one does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.adapters.workspace.capture import store_tree
from tenuto.adapters.workspace.differences import list_files
from tenuto.adapters.workspace.ignores import Rules, parse_rules
from tenuto.adapters.workspace.scan import IGNORE_FILES
from tenuto.adapters.workspace.trees import Node, TreeReader
from tenuto.core.ids import Digest

__all__ = ["glob_rules", "narrow_tree"]


def glob_rules(globs: Sequence[str]) -> Rules:
    """Globs as rules: what they name is what `ignored` says yes to."""
    return Rules().below("", parse_rules("\n".join(globs).encode("utf-8", "surrogateescape")))


async def narrow_tree(reader: TreeReader, tree: Digest, globs: Sequence[str]) -> Digest:
    rules = glob_rules(globs)
    whole: dict[str, bool] = {"": False}

    def admits(directory: str) -> bool:
        """Whether a directory is in, by itself or with one above it."""
        known = whole.get(directory)
        if known is None:
            above, _, name = directory.rpartition("/")
            known = admits(above) or rules.ignored(directory, name, is_directory=True)
            whole[directory] = known
        return known

    chosen: dict[str, Node] = {}
    for entry in await list_files(reader, tree):
        above, _, name = entry.path.rpartition("/")
        if name in IGNORE_FILES or admits(above) or rules.ignored(entry.path, name, is_directory=False):
            chosen[entry.path] = Node(*entry[1:])
    return await store_tree(reader, chosen)
