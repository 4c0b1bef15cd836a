"""Reading patches: unified diffs, as git and diff write them. Pure; what they mean for files is in `patching.py`.

Errors are PatchError, and name the line of the patch, from 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FilePatch", "Hunk", "PatchError", "read_unified"]


class PatchError(ValueError):
    """A patch that cannot be read, or does not apply; the text is for whoever wrote it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hunk:
    """Lines that take the place of others. They have no ends; `line` is where the hunk begins in the patch.

    `start`: line of the file, from 1, where it says that the old lines begin; None where it does not say.
    `context`: how many of its lines stay. `after`: lines that stand before it, each further down than the last.
    `old_ends`, `new_ends`: whether the last line ends in a line end; None where the hunk does not say.
    """

    line: int
    start: int | None = None
    after: tuple[str, ...] = ()
    old: tuple[str, ...]
    new: tuple[str, ...]
    context: int = 0
    old_ends: bool | None = None
    new_ends: bool | None = None
    at_end: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePatch:
    """What becomes of one file. `source` None: it is created; `target` None: it is deleted; two names: it moves."""

    line: int
    source: str | None
    target: str | None
    hunks: tuple[Hunk, ...] = ()
    executable: bool | None = None
    copies: bool = False


_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_HEADERS = ("diff --git ", "--- ")
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_ESCAPE = re.compile(r'\\([abtnvfr"\\]|[0-3][0-7]{2})')


def read_unified(text: str) -> tuple[FilePatch, ...]:
    """The files of a unified diff. Text around it is passed over, as patch programs do. PatchError."""
    reader = _Reader(text.split("\n"))
    found: list[FilePatch] = []
    while reader.seek():
        found.append(reader.file())
    if not found:
        raise PatchError("there is no file in the patch; write --- a/PATH, +++ b/PATH and hunks beginning with @@")
    return tuple(found)


@dataclass(slots=True)
class _Header:
    """What the lines before a file's hunks say."""

    line: int
    git: bool = False
    source: str | None = None
    target: str | None = None
    created: bool = False
    deleted: bool = False
    copies: bool = False
    executable: bool | None = None


@dataclass(slots=True)
class _Reader:
    """A place in the lines of a patch."""

    lines: Sequence[str]
    at: int = 0

    @property
    def line(self) -> str:
        return self.lines[self.at] if self.at < len(self.lines) else ""

    @property
    def over(self) -> bool:
        return self.at >= len(self.lines)

    def seek(self) -> bool:
        """Go to where the next file begins."""
        while not self.over:
            if self.line.startswith("diff --git ") or (
                self.line.startswith("--- ")
                and self.at + 1 < len(self.lines)
                and self.lines[self.at + 1][:4] == "+++ "
            ):
                return True
            if _HUNK.match(self.line):
                raise PatchError(
                    f"patch line {self.at + 1}: a hunk without its file; write --- a/PATH and +++ b/PATH"
                )
            self.at += 1
        return False

    def file(self) -> FilePatch:
        header = _Header(self.at + 1)
        if self.line.startswith("diff --git "):
            self._git_header(header)
        if self.line.startswith("--- ") and self.at + 1 < len(self.lines) and self.lines[self.at + 1][:4] == "+++ ":
            self._names(header)
        hunks: list[Hunk] = []
        while _HUNK.match(self.line):
            hunks.append(self._hunk())
        if self.line.startswith("@@") and not self.over:
            raise PatchError(f"patch line {self.at + 1}: a hunk begins with @@ -LINE,COUNT +LINE,COUNT @@")
        return _file_of(header, tuple(hunks))

    def _git_header(self, header: _Header) -> None:
        header.git = True
        header.source, header.target = _names_of_git(self.line, self.at + 1)
        self.at += 1
        while not self.over and not self.line.startswith(_HEADERS) and not self.line.startswith("@@"):
            key, _, rest = self.line.partition(" ")
            words = self.line.split(" ")
            if self.line.startswith(("GIT binary patch", "Binary files ")):
                raise PatchError(f"patch line {self.at + 1}: binary patches are not applied; write the file itself")
            if self.line.startswith("new file mode "):
                header.created, header.executable = True, _executable(words[-1], self.at + 1)
            elif self.line.startswith("deleted file mode "):
                header.deleted = True
            elif self.line.startswith("new mode "):
                header.executable = _executable(words[-1], self.at + 1)
            elif self.line.startswith(("rename from ", "copy from ")):
                header.source = _name(rest.partition(" ")[2], self.at + 1)
                header.copies = key == "copy"
            elif self.line.startswith(("rename to ", "copy to ")):
                header.target = _name(rest.partition(" ")[2], self.at + 1)
            elif not self.line.startswith(("index ", "similarity ", "dissimilarity ", "old mode ")):
                break
            self.at += 1

    def _names(self, header: _Header) -> None:
        """The `---` and `+++` lines. They name what git's own header leaves open."""
        old, new = (_name(self.lines[self.at + n][4:].split("\t")[0], self.at + 1 + n) for n in range(2))
        header.created, header.deleted = old == "/dev/null", new == "/dev/null"
        if header.created and header.deleted:
            raise PatchError(f"patch line {self.at + 1}: both names are /dev/null; name the file")
        prefixed = (header.created or old.startswith("a/")) and (header.deleted or new.startswith("b/"))
        if prefixed:
            old, new = old.removeprefix("a/"), new.removeprefix("b/")
        if not header.git or header.source == header.target:
            # Without git's header two names are one file under its name before and after, as diff writes them.
            header.source = new if header.created else old
            header.target = old if header.deleted else new
            if not header.git and not prefixed and not header.created and not header.deleted:
                header.source = header.target
        self.at += 2

    def _hunk(self) -> Hunk:
        begins = self.at + 1
        found = _HUNK.match(self.line)
        assert found is not None
        start, old_count = int(found[1]), int(found[2] or 1)
        new_count = int(found[4] or 1)
        self.at += 1
        old: list[str] = []
        new: list[str] = []
        ends: dict[str, bool] = {}
        context = 0
        while not self.over and (len(old) < old_count or len(new) < new_count or self.line.startswith("\\")):
            sign, rest = self.line[:1], self.line[1:]
            if sign == "\\":
                last = self.lines[self.at - 1][:1]
                ends |= {side: False for side, other in (("old", "+"), ("new", "-")) if last != other}
            elif sign == " " or (not sign and self.at + 1 < len(self.lines)):
                # An empty line is an empty line of context whose blank some editor took away.
                old.append(rest)
                new.append(rest)
                context += 1
            elif sign == "-":
                old.append(rest)
            elif sign == "+":
                new.append(rest)
            else:
                break
            self.at += 1
        if (len(old), len(new)) != (old_count, new_count) or self._goes_on():
            raise PatchError(
                f"patch line {begins}: the hunk says {old_count} old and {new_count} new lines, and has {len(old)} "
                f"and {len(new)} up to line {self.at}; correct the counts after the commas"
            )
        return Hunk(
            line=begins,
            start=start + (old_count == 0),
            old=tuple(old),
            new=tuple(new),
            context=context,
            old_ends=ends.get("old"),
            new_ends=ends.get("new"),
        )

    def _goes_on(self) -> bool:
        """Whether the line looks like one more of the hunk: not the names of a next file."""
        return self.line[:1] in ("+", "-") and not self.line.startswith("--- ") and self.line != "-- "


def _file_of(header: _Header, hunks: tuple[Hunk, ...]) -> FilePatch:
    source = None if header.created else header.source
    target = None if header.deleted else header.target
    if not header.created and not header.deleted and source is None:
        raise PatchError(f"patch line {header.line}: no file is named; write --- a/PATH and +++ b/PATH")
    if not hunks and source == target and header.executable is None:
        raise PatchError(f"patch line {header.line}: nothing is changed in {source}; hunks begin with @@")
    return FilePatch(
        line=header.line,
        source=source,
        target=target,
        hunks=hunks,
        executable=header.executable,
        copies=header.copies,
    )


def _names_of_git(line: str, number: int) -> tuple[str | None, str | None]:
    """Both names of `diff --git a/X b/X`, where they are one: else the lines that follow say them."""
    rest = line.removeprefix("diff --git ")
    if rest.startswith('"'):
        first, _, second = rest.partition('" ')
        pair = (first + '"', second)
    else:
        middle = len(rest) // 2
        pair = (rest[:middle], rest[middle + 1 :])
    old, new = (_name(one, number) for one in pair)
    if old.removeprefix("a/") == new.removeprefix("b/"):
        return old.removeprefix("a/"), new.removeprefix("b/")
    return None, None


def _name(text: str, number: int) -> str:
    """A name as it is, or in quotes with escapes as git writes those that are no plain ASCII."""
    text = text.rstrip("\r")
    if not (len(text) > 1 and text.startswith('"') and text.endswith('"')):
        return text
    parts = _ESCAPE.split(text[1:-1])
    data = b""
    for index, part in enumerate(parts):
        if index % 2:
            data += bytes((_ESCAPES[part] if part in _ESCAPES else int(part, 8),))
        else:
            data += part.encode()
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise PatchError(f"patch line {number}: the name {text} is no UTF-8") from None


def _executable(mode: str, number: int) -> bool:
    if mode not in ("100644", "100755"):
        raise PatchError(f"patch line {number}: mode {mode} is no plain file's; symbolic links are not patched")
    return mode == "100755"
