"""The tree of a git commit, as a capture of the directory would find it right after a checkout."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Set as AbstractSet
from pathlib import Path

from tenuto.adapters.workspace.git import Git
from tenuto.adapters.workspace.left_out import LeftOut
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE
from tenuto.core.ids import Digest

__all__ = ["tree_of_commit"]


async def tree_of_commit(
    workspace: TreeWorkspace,
    git: Git,
    commit: str,
    *,
    directory: Path,
    git_directory: str,
    prefix: str,
    without: AbstractSet[str],
) -> Digest:
    """What `commit` holds of `directory`, which lies at `prefix` below the top of its repository.

    Line ends and filters are those of a checkout. Files that a capture leaves out are left out, and those of
    `without` (paths from the top). Neither working tree nor index is looked at. StorageError where git fails;
    UsageError where the commit's files cannot be captured.
    """
    with tempfile.TemporaryDirectory(prefix="tenuto-commit-") as private:
        files = Path(private, "files")
        await asyncio.to_thread(files.mkdir)
        variables = {
            "GIT_DIR": git_directory,
            "GIT_WORK_TREE": str(files),
            "GIT_INDEX_FILE": os.path.join(private, "index"),
        }
        there = Git(files, git.environment)
        await there.run("read-tree", commit, variables=variables)
        await there.run("checkout-index", "--all", "--quiet", variables=variables)
        place = files / prefix
        if not await asyncio.to_thread(place.is_dir):
            return EMPTY_TREE
        tree = await workspace.capture(place)
    # The private directory is in no repository, so the rules around the user's are asked for here.
    left_out = await LeftOut.of(workspace, directory, tree, prefix)
    edit = await workspace.edit(tree)
    for entry in await workspace.entries(tree):
        path = prefix + entry.path
        if path in without or left_out.holds(path):
            await edit.delete(entry.path)
    return await edit.commit()
