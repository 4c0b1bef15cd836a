"""Bringing a result onto a new git branch: objects and one reference, nothing else.

The branch grows out of the commit that HEAD names; what lies uncommitted in the working tree is no matter of it.
Working tree, index and HEAD stay as they are, byte for byte: the commit is put together in a private index, from
a private directory that holds the tree.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tenuto.adapters.workspace.branch_commit import BranchCommit, people_of
from tenuto.adapters.workspace.commit_tree import tree_of_commit
from tenuto.adapters.workspace.comparing import Comparison, Result, capture_now, compare_tree
from tenuto.adapters.workspace.git import Git, read_head
from tenuto.adapters.workspace.left_out import LeftOut
from tenuto.adapters.workspace.paths import shown
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE
from tenuto.core.ids import Digest
from tenuto.core.merging import MergeConflict
from tenuto.errors import RefusedRequestError, StorageError, UsageError
from tenuto.ports.workspace import FileChange

__all__ = ["AppliedBranch", "apply_to_branch"]

_SUBMODULE = b"160000"


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedBranch:
    """What was done, or would be.

    `status`: `applied` (the branch is there, with `commit`); `unchanged` (the commit that HEAD names holds it
    already: no branch was made); `preview` (HEAD moved, and its files are not those that the run started from:
    nothing was done, ask with `merge=True`); `conflict` (what was committed and the run's changes cannot be merged).
    `changes`: of the tree that the result was brought to, before -> after. `foreign`: what differs in HEAD's files
    from those that the run started from, where it moved. `head_moved`: HEAD names another commit than then, which
    alone hinders nothing. `tree`: what the commit holds, or would.
    """

    changes: tuple[FileChange, ...] = ()
    commit: str | None = None
    conflicts: tuple[MergeConflict, ...] = ()
    foreign: tuple[FileChange, ...] = ()
    head_moved: bool = False
    status: Literal["applied", "unchanged", "preview", "conflict"]
    tree: Digest | None = None


class _Repository(NamedTuple):
    """`prefix`: the directory's path below the top of the working tree (`""`, or `a/b/`)."""

    git: Git
    directory: Path
    git_directory: str
    prefix: str


async def apply_to_branch(
    workspace: TreeWorkspace,
    directory: Path,
    result: Result,
    commit: BranchCommit,
    *,
    environment: Mapping[str, str],
    merge: bool = False,
) -> AppliedBranch:
    """Make a branch whose commit holds a result, or show what a merge would do.

    The commit's parent is the one that HEAD names now (none in a repository without commits). Where HEAD names the
    commit of the run's start, its tree is the result, with what was uncommitted then. Where HEAD moved, it is the
    merge of HEAD's files and the result (base: what the run started from), made only with `merge=True` where they
    differ; but the result as it is where the directory still, or by now, holds the files of the start or the end.
    What was changed and not committed since the start is left out. Files of the parent that no capture holds (those
    that are ignored although git tracks them, submodules, those outside a sparse checkout, and everything outside
    the directory) are kept; new ones that ignore files name are left out. Attributes and filters of the repository
    hold, as for `git add`.

    UsageError where HEAD moved and the files cannot be captured, where the directory is in no repository, or where
    the branch's name is none; RefusedRequestError where the branch exists; StorageError where git fails.
    """
    directory = Path(await asyncio.to_thread(os.path.realpath, directory))
    repository = await _repository(directory, environment)
    git = repository.git
    reference = await _free(repository, commit.branch)
    found = await _compare(workspace, repository, result)
    if found.target is None:
        return AppliedBranch(
            status="conflict", conflicts=found.conflicts, foreign=found.foreign, head_moved=found.head_moved
        )
    changes = tuple(await workspace.changes(found.now, found.target))
    seen = AppliedBranch(
        status="preview", changes=changes, foreign=found.foreign, head_moved=found.head_moved, tree=found.target
    )
    if found.foreign and not merge:
        return seen
    made, out = await _tree(workspace, repository, found.head, found.now, found.target)
    changes = tuple(change for change in changes if repository.prefix + change.path not in out)
    if found.head is not None and made == await git.line("rev-parse", f"{found.head}^{{tree}}"):
        return AppliedBranch(
            status="unchanged", foreign=found.foreign, head_moved=found.head_moved, tree=found.target
        )
    people = await people_of(commit, git)
    parents = () if found.head is None else ("-p", found.head)
    new = await git.line("commit-tree", made, *parents, given=commit.message.encode(), variables=people)
    try:
        await git.run("update-ref", reference, new, "0" * len(new), variables=people)
    except StorageError as error:
        await _free(repository, commit.branch)
        raise RefusedRequestError(
            f"the branch {commit.branch} cannot be made ({error.what})", where=error.where, fix="name another one"
        ) from error
    return AppliedBranch(
        status="applied",
        changes=changes,
        commit=new,
        foreign=found.foreign,
        head_moved=found.head_moved,
        tree=found.target,
    )


async def _repository(directory: Path, environment: Mapping[str, str]) -> _Repository:
    git = Git(directory, environment)
    found = await git.ask("rev-parse", "--is-inside-work-tree", "--absolute-git-dir", "--show-prefix")
    lines = [] if found is None else found.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) < 3 or lines[0] != "true":
        raise UsageError(
            "git has no working tree here", where=shown(str(directory)), fix="apply without a branch, or git init"
        )
    return _Repository(git, directory, lines[1], lines[2])


async def _compare(workspace: TreeWorkspace, repository: _Repository, result: Result) -> Comparison:
    """What a result means for HEAD. `now` is the tree that stands for what HEAD's commit holds of the directory."""
    directory, git = repository.directory, repository.git
    head = await read_head(directory, git.environment)
    if head == result.head:
        return Comparison(head=head, head_moved=False, now=result.base, target=result.tree)
    now = await capture_now(workspace, directory, result)
    if now not in (result.base, result.tree):
        now = EMPTY_TREE
        if head is not None:
            now = await tree_of_commit(
                workspace,
                git,
                head,
                directory=directory,
                git_directory=repository.git_directory,
                prefix=repository.prefix,
                without=await _outside_sparse_checkout(repository),
            )
    return await compare_tree(workspace, now, result, head)


async def _free(repository: _Repository, branch: str) -> str:
    """The reference of a branch that does not exist."""
    where = shown(str(repository.directory))
    reference = f"refs/heads/{branch}"
    misread = branch == "HEAD" or branch.startswith("-")
    if misread or "\0" in branch or await repository.git.ask("check-ref-format", reference) is None:
        raise UsageError(f"{branch!r} cannot be a branch's name", where=where, fix="choose another one")
    if await repository.git.ask("rev-parse", "--verify", "--quiet", reference) is not None:
        raise RefusedRequestError(f"the branch {branch} exists already", where=where, fix="name a new one")
    return reference


async def _tree(
    workspace: TreeWorkspace, repository: _Repository, parent: str | None, now: Digest, target: Digest
) -> tuple[str, Set[str]]:
    """git's tree of the parent with `target` in place of what a capture of the directory could hold.

    And the files of `target` that are not in it: new ones that ignore files name.
    """
    prefix = repository.prefix
    left_out = await LeftOut.of(workspace, repository.directory, target, prefix)
    whole = await workspace.graft(prefix, target)
    wanted = {entry.path for entry in await workspace.entries(whole)}
    lent = await workspace.directory(whole)
    try:
        with tempfile.TemporaryDirectory(prefix="tenuto-index-") as private:
            variables = {
                "GIT_DIR": repository.git_directory,
                "GIT_WORK_TREE": str(lent.path),
                "GIT_INDEX_FILE": os.path.join(private, "index"),
            }
            git = Git(lent.path, repository.git.environment)
            if parent is not None:
                await git.run("read-tree", parent, variables=variables)
            committed = await git.run("ls-files", "-z", variables=variables)
            known = {name.decode("utf-8", "surrogateescape") for name in committed.split(b"\0")}
            out = {path for path in wanted if path not in known and left_out.holds(path)}
            wanted -= out
            gone = await _gone(workspace, repository, git, now, wanted, variables)
            remove = ("update-index", "-z", "--force-remove", "--stdin")
            await git.run(*remove, given=_listed(gone), variables=variables)
            add = ("update-index", "-z", "--add", "--replace", "--stdin")
            await git.run(*add, given=_listed(wanted), variables=variables)
            return await git.line("write-tree", variables=variables), out
    finally:
        await lent.close()


async def _gone(
    workspace: TreeWorkspace,
    repository: _Repository,
    git: Git,
    now: Digest,
    wanted: set[str],
    variables: Mapping[str, str],
) -> set[str]:
    """The files of the parent that somebody deleted: the run, or the user before it."""
    prefix = repository.prefix
    held = {prefix + entry.path for entry in await workspace.entries(now)}
    left_out = await LeftOut.of(workspace, repository.directory, now, prefix)
    sparse = await _outside_sparse_checkout(repository)
    gone: set[str] = set()
    for line in (await git.run("ls-files", "-z", "--stage", variables=variables)).split(b"\0")[:-1]:
        head, _, name = line.partition(b"\t")
        path = name.decode("utf-8", "surrogateescape")
        if path in wanted or not path.startswith(prefix):
            continue
        kept = head.startswith(_SUBMODULE) or path in sparse or left_out.holds(path)
        if path in held or not kept:
            gone.add(path)
    return gone


async def _outside_sparse_checkout(repository: _Repository) -> set[str]:
    """Tracked files that git leaves out of the working tree; asked of the user's index, which is only read."""
    listed = await repository.git.run("ls-files", "-z", "-t", "--full-name")
    return {line[2:].decode("utf-8", "surrogateescape") for line in listed.split(b"\0") if line.startswith(b"S ")}


def _listed(paths: set[str]) -> bytes:
    return b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in sorted(paths))
