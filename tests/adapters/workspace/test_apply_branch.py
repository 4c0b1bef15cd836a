"""Results on new branches of real git repositories, and what must not change meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tenuto.adapters.workspace.apply_branch import AppliedBranch, apply_to_branch
from tenuto.adapters.workspace.branch_commit import BranchCommit
from tenuto.adapters.workspace.comparing import Result
from tenuto.adapters.workspace.trees import EXECUTABLE, SYMLINK
from tenuto.core.ids import Digest, RunId
from tenuto.errors import RefusedRequestError, UsageError

from .conftest import Trees
from .test_patches import found

COMMIT = BranchCommit(at_s=1_700_000_000, branch="tenuto/r1", message="a result\n")
ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_INDEX_FILE": "/nowhere", "GIT_CONFIG_GLOBAL": "/dev/null"}


class Repository:
    """A git repository with one commit; `below` is the directory that runs work on."""

    def __init__(self, top: Path, below: str = "") -> None:
        self.top = top
        self.directory = top / below
        self.directory.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.top, env=environment, capture_output=True, check=True, text=True
        )
        return done.stdout

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.directory / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, message: str = "first") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def on(self, branch: str) -> dict[str, str]:
        """Path -> mode and body of a branch's files."""
        listed = self.git("ls-tree", "-r", "-z", branch).split("\0")[:-1]
        files: dict[str, str] = {}
        for line in listed:
            head, _, path = line.partition("\t")
            mode, kind, identifier = head.split()
            files[path] = f"{mode} " + (self.git("cat-file", "blob", identifier) if kind == "blob" else identifier)
        return files

    def untouched(self) -> object:
        """All that a branch must not change: files with their bytes and times, git's too (the index, HEAD, other
        references, settings), but for objects and the branch itself."""
        new = (".git/objects", ".git/refs/heads", ".git/logs/refs/heads")
        bodies = {path: body for path, body in found(self.top).items() if not path.startswith(new)}
        stamps = {
            path.relative_to(self.top).as_posix(): path.lstat().st_mtime_ns
            for path in self.top.rglob("*")
            if not path.is_relative_to(self.top / ".git")
        }
        return bodies, stamps, self.git("rev-parse", "--verify", "--quiet", "main")


async def apply(trees: Trees, repository: Repository, result: Result, **options: bool) -> AppliedBranch:
    return await apply_to_branch(
        trees.workspace, repository.directory, result, COMMIT, environment=ENVIRONMENT, **options
    )


async def edited(trees: Trees, base: Digest, files: dict[str, bytes], gone: tuple[str, ...] = ()) -> Digest:
    edit = await trees.workspace.edit(base)
    for path in gone:
        await edit.delete(path)
    for path, body in files.items():
        await edit.write(path, body)
    return await edit.commit()


@pytest.mark.parametrize("below", ["", "packages/app"])
async def test_a_branch_holds_the_result_and_nothing_else_changes(trees: Trees, tmp_path: Path, below: str) -> None:
    repository = Repository(tmp_path / "repo", below)
    repository.write(a_txt="a\n", gone_txt="gone\n", tool_sh="#!/bin/sh\n")
    (repository.directory / "tool.sh").chmod(0o755)
    (repository.directory / "link").symlink_to("a.txt")
    (repository.top / "outside").write_text("outside\n")
    head = repository.commit()
    repository.write(a_txt="dirty\n", untracked="untracked\n", staged="staged\n")
    repository.git("add", str(repository.directory / "staged"))
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"a.txt": b"result\n", "new/b.txt": b"b\n"}, gone=("gone.txt",))
    before = repository.untouched()
    applied = await apply(trees, repository, Result(base=base, head=head, run=RunId("r1"), tree=tree))
    assert repository.untouched() == before
    prefix = f"{below}/" if below else ""
    assert repository.on("tenuto/r1") == {
        "outside": "100644 outside\n",
        **{
            prefix + path: body
            for path, body in {
                "a.txt": "100644 result\n",
                "link": f"{SYMLINK} a.txt",
                "new/b.txt": "100644 b\n",
                "staged": "100644 staged\n",
                "tool.sh": f"{EXECUTABLE} #!/bin/sh\n",
                "untracked": "100644 untracked\n",
            }.items()
        },
    }
    assert (applied.status, applied.head_moved, applied.tree) == ("applied", False, tree)
    assert [change.path for change in applied.changes] == ["a.txt", "gone.txt", "new/b.txt"]
    told = repository.git("log", "-1", "--format=%H|%P|%an|%ae|%at|%B", "tenuto/r1").strip()
    assert told == f"{applied.commit}|{head}|Ada|ada@example.org|1700000000|a result"
    assert repository.git("fsck", "--strict") == ""


async def test_tracked_files_that_are_ignored_are_kept_and_deleted_ones_go(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(
        _gitignore="*.log\nbuild/\n",
        kept_log="kept\n",
        build__out="kept too\n",
        sub___tenutoignore="*.csv\n",
        sub__data_csv="kept as well\n",
        user_txt="the user deletes it\n",
        run_txt="the run deletes it\n",
    )
    repository.git("add", "-A", "-f")
    repository.git("commit", "-q", "-m", "first")
    (repository.directory / "user.txt").unlink()
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"new": b"new"}, gone=("run.txt",))
    before = repository.untouched()
    await apply(trees, repository, Result(base=base, head=None, run=RunId("r1"), tree=tree))
    assert repository.untouched() == before
    assert set(repository.on("tenuto/r1")) == {
        ".gitignore",
        "build/out",
        "kept.log",
        "new",
        "sub/.tenutoignore",
        "sub/data.csv",
    }


async def test_files_outside_a_sparse_checkout_and_submodules_are_kept(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(_gitignore="module\n", here__a="a", there__b="b")
    first = repository.commit()
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{first},module")
    head = repository.git("commit-tree", repository.git("write-tree").strip(), "-p", first, "-m", "m").strip()
    repository.git("reset", "-q", "--hard", head)
    repository.git("sparse-checkout", "set", "here")
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"here/a": b"changed"})
    before = repository.untouched()
    await apply(trees, repository, Result(base=base, head=head, run=RunId("r1"), tree=tree))
    assert repository.untouched() == before
    assert repository.on("tenuto/r1") == {
        ".gitignore": "100644 module\n",
        "here/a": "100644 changed",
        "module": f"160000 {first}",
        "there/b": "100644 b",
    }


async def test_foreign_changes_are_shown_and_merged_only_when_asked(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(a_txt="a\n", b_txt="b\n")
    start = repository.commit()
    base = await trees.workspace.capture(repository.directory)
    result = Result(base=base, head=start, run=RunId("r1"), tree=await edited(trees, base, {"a.txt": b"run\n"}))
    repository.write(b_txt="mine\n")
    head = repository.commit("second")
    shown = await apply(trees, repository, result)
    assert (shown.status, shown.head_moved, [change.path for change in shown.foreign]) == ("preview", True, ["b.txt"])
    assert "tenuto" not in repository.git("branch", "--list", "-a")
    merged = await apply(trees, repository, result, merge=True)
    assert merged.status == "applied"
    assert repository.on("tenuto/r1") == {"a.txt": "100644 run\n", "b.txt": "100644 mine\n"}
    assert repository.git("rev-parse", "tenuto/r1^").strip() == head
    repository.write(a_txt="mine\n")
    repository.commit("third")
    refused = await apply_to_branch(
        trees.workspace,
        repository.directory,
        result,
        replace(COMMIT, branch="other"),
        environment=ENVIRONMENT,
        merge=True,
    )
    assert (refused.status, [conflict.path for conflict in refused.conflicts]) == ("conflict", ["a.txt"])
    assert "other" not in repository.git("branch", "--list", "-a")


async def test_uncommitted_changes_since_the_start_are_no_matter_of_the_branch(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(_gitignore="*.log\n", a_txt="a\n", b_txt="b\n", c_txt="c\n")
    repository.write(kept_log="kept\n")
    repository.git("add", "-A", "-f")
    head = repository.commit()
    repository.write(b_txt="dirty at the start\n", u_txt="untracked at the start\n")
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"a.txt": b"run\n", "b.txt": b"dirty, and run\n"})
    repository.write(a_txt="mine\n", b_txt="mine\n", new_txt="mine\n")
    (repository.directory / "c.txt").unlink()
    before = repository.untouched()
    applied = await apply(trees, repository, Result(base=base, head=head, run=RunId("r1"), tree=tree))
    assert (applied.status, applied.foreign) == ("applied", ())
    assert repository.untouched() == before
    assert repository.on("tenuto/r1") == {
        ".gitignore": "100644 *.log\n",
        "a.txt": "100644 run\n",
        "b.txt": "100644 dirty, and run\n",
        "c.txt": "100644 c\n",
        "kept.log": "100644 kept\n",
        "u.txt": "100644 untracked at the start\n",
    }


@pytest.mark.parametrize("below", ["", "packages/app"])
async def test_a_head_that_moved_is_merged_without_what_is_uncommitted(
    trees: Trees, tmp_path: Path, below: str
) -> None:
    repository = Repository(tmp_path / "repo", below)
    repository.write(_gitattributes="*.txt text eol=crlf\n", a_txt="a\r\n", b_txt="b\r\n")
    (repository.top / ".git/info/exclude").write_text("*.log\n")
    repository.write(kept_log="kept\n")
    repository.git("add", "-A", "-f")
    start = repository.commit()
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"a.txt": b"run\r\n"})
    repository.write(b_txt="committed\r\n")
    head = repository.commit("second")
    repository.write(a_txt="mine\r\n", new_txt="mine\r\n")
    result = Result(base=base, head=start, run=RunId("r1"), tree=tree)
    before = repository.untouched()
    shown = await apply(trees, repository, result)
    assert (shown.status, [change.path for change in shown.foreign]) == ("preview", ["b.txt"])
    assert (await apply(trees, repository, result, merge=True)).status == "applied"
    assert repository.untouched() == before
    prefix = f"{below}/" if below else ""
    assert repository.on("tenuto/r1") == {
        f"{prefix}.gitattributes": "100644 *.txt text eol=crlf\n",
        f"{prefix}a.txt": "100644 run\n",
        f"{prefix}b.txt": "100644 committed\n",
        f"{prefix}kept.log": "100644 kept\n",
    }
    assert repository.git("rev-parse", "tenuto/r1^").strip() == head


async def test_a_head_that_moved_to_the_files_of_the_start_hinders_nothing(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(a_txt="a\n")
    start = repository.commit()
    repository.write(a_txt="dirty\n")
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"a.txt": b"run\n"})
    repository.commit("what was dirty")
    repository.write(a_txt="mine\n")
    applied = await apply(trees, repository, Result(base=base, head=start, run=RunId("r1"), tree=tree))
    assert (applied.status, applied.head_moved) == ("applied", True)
    assert repository.on("tenuto/r1") == {"a.txt": "100644 run\n"}


async def test_a_branch_is_made_never_moved_and_equal_work_has_an_equal_commit(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    base = await trees.workspace.capture(repository.directory)
    result = Result(base=base, head=None, run=RunId("r1"), tree=await edited(trees, base, {"a": b"a"}))
    first = await apply(trees, repository, result)
    assert repository.git("rev-list", "--count", "tenuto/r1").strip() == "1"
    with pytest.raises(RefusedRequestError, match="the branch tenuto/r1 exists already; name a new one"):
        await apply(trees, repository, result)
    repository.git("branch", "-q", "-m", "tenuto/r1", "moved")
    assert (await apply(trees, repository, result)).commit == first.commit


async def test_nothing_new_makes_no_branch(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(a="a")
    head = repository.commit()
    base = await trees.workspace.capture(repository.directory)
    assert (await apply(trees, repository, Result(base=base, head=head, run=RunId("r1"), tree=base))).commit is None
    assert "tenuto" not in repository.git("branch", "--list", "-a")


@pytest.mark.parametrize("branch", ["", "-d", "HEAD", "a..b", "@{-1}", "a b", "nul\0"])
async def test_a_name_that_is_none_is_refused(trees: Trees, tmp_path: Path, branch: str) -> None:
    repository = Repository(tmp_path / "repo")
    result = Result(base=Digest("0"), head=None, run=RunId("r1"), tree=Digest("0"))
    commit = replace(COMMIT, branch=branch)
    with pytest.raises(UsageError, match="cannot be a branch's name"):
        await apply_to_branch(trees.workspace, repository.directory, result, commit, environment=ENVIRONMENT)


async def test_a_branch_below_another_and_a_place_without_git_are_refused(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(a="a")
    repository.commit()
    repository.git("branch", "tenuto")
    base = await trees.workspace.capture(repository.directory)
    result = Result(base=base, head=None, run=RunId("r1"), tree=await edited(trees, base, {"a": b"b"}))
    with pytest.raises(RefusedRequestError, match=r"the branch tenuto/r1 cannot be made \(git update-ref failed"):
        await apply(trees, repository, result)
    plain = tmp_path / "plain"
    await asyncio.to_thread(plain.mkdir)
    with pytest.raises(UsageError, match="git has no working tree here"):
        await apply_to_branch(trees.workspace, plain, result, COMMIT, environment=ENVIRONMENT)


async def test_line_ends_and_filters_are_those_of_the_repository(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(_gitattributes="*.txt text eol=crlf\n", a_txt="a\r\n")
    head = repository.commit()
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"b.txt": b"b\r\n"})
    await apply(trees, repository, Result(base=base, head=head, run=RunId("r1"), tree=tree))
    assert repository.git("diff", "--stat", "main", "tenuto/r1").split() == [
        "b.txt", "|", "1", "+", "1", "file", "changed,", "1", "insertion(+)"
    ]  # fmt: skip
    assert repository.on("tenuto/r1")["b.txt"] == "100644 b\n"


async def test_hooks_do_not_run(trees: Trees, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.write(a="a")
    head = repository.commit()
    hook = repository.top / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    base = await trees.workspace.capture(repository.directory)
    tree = await edited(trees, base, {"a": b"b"})
    assert (await apply(trees, repository, Result(base=base, head=head, run=RunId("r1"), tree=tree))).commit
    assert not await asyncio.to_thread((tmp_path / "ran").exists)


async def test_new_files_that_ignore_files_name_are_not_committed(trees: Trees, tmp_path: Path) -> None:
    """A step may keep installed packages for the next one; nobody wants them in the history."""
    repository = Repository(tmp_path / "repo")
    repository.write(_gitignore="deps/\n*.log\n", a_txt="a\n", kept_log="forced\n")
    repository.git("add", "-f", "kept.log")
    head = repository.commit()
    base = await trees.workspace.capture(repository.directory)
    files = {".gitignore": b"deps/\n*.log\n/new\n", "deps/x": b"x", "deps/y.log": b"y", "new": b"n", "b": b"b"}
    tree = await edited(trees, base, files)
    applied = await apply(trees, repository, Result(base=base, head=head, run=RunId("r1"), tree=tree))
    assert [change.path for change in applied.changes] == [".gitignore", "b"]
    assert repository.on("tenuto/r1") == {
        ".gitignore": "100644 deps/\n*.log\n/new\n",
        "a.txt": "100644 a\n",
        "b": "100644 b",
        "kept.log": "100644 forced\n",
    }
