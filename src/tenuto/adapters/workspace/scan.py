"""Walking a real directory: which files belong to its tree. Only reads; blocking."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tenuto.adapters.workspace.files import Files, Stamp, mode_of, stamp_of
from tenuto.adapters.workspace.ignores import Rule, Rules, parse_rules
from tenuto.adapters.workspace.paths import DEPTH_MAX, PATH_BYTES_MAX, is_temporary, shown
from tenuto.adapters.workspace.trees import reserved
from tenuto.errors import UsageError

__all__ = ["IGNORE_FILES", "CaptureLimits", "Enclosing", "Scanned", "enclosing_rules", "scan"]

IGNORE_FILES = (".gitignore", ".tenutoignore")
"""Read in this order, so the second one has the last word."""
_IGNORE_BYTES_MAX = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureLimits:
    """What a tree may hold. More is refused by name, never cut."""

    depth_max: int = DEPTH_MAX
    file_bytes_max: int = 256 << 20
    files_max: int = 200_000


class Scanned(NamedTuple):
    """A file that belongs to the tree, as it looked when it was found."""

    path: str
    stamp: Stamp


class Enclosing(NamedTuple):
    """The ignore rules that hold for a directory from above it, and its path below where those begin."""

    rules: Rules
    prefix: str


NOTHING_ENCLOSING = Enclosing(Rules(), "")


@dataclass(kw_only=True, slots=True)
class _Walk:
    root: Path
    files: Files
    limits: CaptureLimits
    prefix: str
    tracked: Collection[str]
    tracked_directories: Collection[str]
    keep: Rules
    keeps: bool
    found: list[Scanned] = field(default_factory=list)

    def where(self, path: str) -> str:
        return shown(os.path.join(self.root, path))

    def directory(self, path: str, rules: Rules, depth: int, *, ignored: bool, kept: bool) -> None:
        """Take what belongs to the tree below `path` (`""` or `a/b/`)."""
        if depth > self.limits.depth_max:
            raise UsageError("directories are nested too deeply", where=self.where(path), fix=_EXCLUDE)
        try:
            with self.files.directory(path[:-1]) as opened, os.scandir(opened) as listing:
                entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in listing]
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unreadable(self.where(path), error) from error
        entries.sort()
        if not ignored:
            rules = rules.below(self.prefix + path, self._own_rules(path, {name for name, _ in entries}))
        for name, status in entries:
            if name == ".tenuto" or (name == ".git" and (not path or ignored)):
                continue
            if is_temporary(name) and path + name not in self.tracked:
                continue
            self._entry(path, name, status, rules, depth, ignored=ignored, kept=kept)

    def _entry(
        self, above: str, name: str, status: os.stat_result, rules: Rules, depth: int, *, ignored: bool, kept: bool
    ) -> None:
        path = above + name
        is_directory = stat.S_ISDIR(status.st_mode)
        out = ignored or rules.ignored(self.prefix + path, name, is_directory=is_directory)
        kept = out and (kept or self.keep.ignored(path, name, is_directory=is_directory))
        if is_directory:
            belongs = not out or kept or path in self.tracked_directories
            if belongs:
                self._check_name(path, name)
            if belongs or (self.keeps and self._searchable(path, name, depth)):
                self.directory(path + "/", rules, depth + 1, ignored=out, kept=kept)
            return
        if out and not kept and path not in self.tracked:
            return
        self._check_name(path, name)
        if mode_of(status.st_mode) is None:
            raise UsageError(f"is {_kind(status.st_mode)}, not a file", where=self.where(path), fix=_EXCLUDE)
        if stat.S_ISREG(status.st_mode) and status.st_size > self.limits.file_bytes_max:
            raise UsageError(
                f"is larger than {self.limits.file_bytes_max >> 20} MiB ({status.st_size} bytes)",
                where=self.where(path),
                fix=_EXCLUDE,
            )
        self.found.append(Scanned(path, stamp_of(status)))
        if len(self.found) > self.limits.files_max:
            raise UsageError(
                f"holds more than {self.limits.files_max} files", where=shown(str(self.root)), fix=_EXCLUDE
            )

    def _searchable(self, path: str, name: str, depth: int) -> bool:
        """Whether an ignored directory may hold something to keep. Oddities in it are nobody's concern."""
        return not reserved(name) and depth < self.limits.depth_max and len(os.fsencode(path)) < PATH_BYTES_MAX

    def _check_name(self, path: str, name: str) -> None:
        if name == ".git":
            raise UsageError("is a nested git repository or a submodule", where=self.where(path[:-5]), fix=_EXCLUDE)
        if reserved(name):
            raise UsageError("has a name that some disks take for git's own", where=self.where(path), fix=_EXCLUDE)
        try:
            length = len(path.encode())
        except UnicodeEncodeError:
            raise UsageError("has a name that is not UTF-8", where=self.where(path), fix="rename it") from None
        if length > PATH_BYTES_MAX:
            raise UsageError(f"has a path longer than {PATH_BYTES_MAX} bytes", where=self.where(path), fix=_EXCLUDE)

    def _own_rules(self, path: str, names: Collection[str]) -> list[Rule]:
        rules: list[Rule] = []
        for name in IGNORE_FILES:
            if name not in names:
                continue
            try:
                body = self.files.read(path + name)
            except OSError as error:
                raise _unreadable(self.where(path + name), error) from error
            if body is not None and stat.S_ISREG(body.stamp.mode):
                rules += parse_rules(body.data[:_IGNORE_BYTES_MAX])
        return rules


_EXCLUDE = "remove it or add it to .tenutoignore"


def scan(
    root: Path,
    files: Files,
    *,
    enclosing: Enclosing = NOTHING_ENCLOSING,
    tracked: Collection[str] = (),
    keep: Rules | None = None,
    limits: CaptureLimits,
) -> list[Scanned]:
    """The files of the tree of `root`, in no order that means anything.

    `tracked` paths belong to the tree whatever the rules say, as files that git tracks do; so do those that the
    rules leave out and `keep` names. Raises UsageError, one line with the path, for what cannot be taken.
    """
    directories: set[str] = set()
    for path in tracked:
        while "/" in path:
            path = path.rpartition("/")[0]
            if path in directories:
                break
            directories.add(path)
    walk = _Walk(
        root=root,
        files=files,
        limits=limits,
        prefix=enclosing.prefix,
        tracked=tracked,
        tracked_directories=directories,
        keep=keep or Rules(),
        keeps=keep is not None,
    )
    walk.directory("", enclosing.rules, 0, ignored=False, kept=False)
    return walk.found


def enclosing_rules(directory: Path) -> Enclosing:
    """The rules of the git repository around a directory: `.git/info/exclude` and gitignore files above it."""
    directory = Path(os.path.realpath(directory))
    top = next((at for at in (directory, *directory.parents) if os.path.lexists(at / ".git")), None)
    if top is None:
        return NOTHING_ENCLOSING
    rules = Rules().below("", parse_rules(_read_small(_git_directory(top) / "info" / "exclude")))
    between = directory.relative_to(top).parts
    prefix = ""
    for name in between:
        found = [rule for file in IGNORE_FILES for rule in parse_rules(_read_small(top / prefix / file))]
        rules = rules.below(prefix, found)
        prefix += name + "/"
    return Enclosing(rules, prefix)


def _git_directory(top: Path) -> Path:
    """The directory that holds a repository's shared files: of a worktree, that of the main one."""
    git = top / ".git"
    pointer = _read_small(git)
    if pointer.startswith(b"gitdir:"):
        git = top / os.fsdecode(pointer[7:].strip())
        common = _read_small(git / "commondir").strip()
        git = git / os.fsdecode(common) if common else git
    return git


def _read_small(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_IGNORE_BYTES_MAX)
    except OSError:
        return b""


def _unreadable(where: str, error: OSError) -> UsageError:
    return UsageError(
        f"cannot be read ({error.strerror or error})", where=where, fix="make it readable or add it to .tenutoignore"
    )


def _kind(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a named pipe" if stat.S_ISFIFO(mode) else "a device"
