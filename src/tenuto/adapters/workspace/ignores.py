"""Which files are left out of a tree: the rules of gitignore files, as git applies them.

Written out here and not taken from a library, because what a capture leaves out must not change with a library's
version; a property test holds it to `git check-ignore`. Rules are asked about one name at a time, from the top
down: a directory that is ignored is not opened, so nothing below it can be taken in again, as in git.

The user's global excludes (`core.excludesFile`) are not read: a tree must not depend on whose machine it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Rule", "Rules", "parse_rules"]

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\n\\r\\x0b\\x0c",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_MAGIC = re.compile(r"[*?\[\\]")


class Rule(NamedTuple):
    """One line. `literal` or `regex` is matched on the name alone, or on the path below the rule's directory."""

    take_in: bool
    directories_only: bool
    name_only: bool
    literal: str | None
    regex: re.Pattern[str] | None

    def matches(self, path: str, name: str, is_directory: bool) -> bool:
        if self.directories_only and not is_directory:
            return False
        text = name if self.name_only else path
        if self.regex is None:
            return text == self.literal
        return self.regex.fullmatch(text) is not None


class _Level(NamedTuple):
    """The rules of one directory; `start` is the length of the directory's path with its slash."""

    start: int
    rules: tuple[Rule, ...]


class Rules:
    """The rules that hold in one directory: its own after those of the directories above. Immutable."""

    __slots__ = ("_levels",)

    def __init__(self, levels: tuple[_Level, ...] = ()) -> None:
        self._levels = levels

    def below(self, directory: str, rules: Iterable[Rule]) -> Rules:
        """With the rules found in `directory` (`""` or `a/b/`) put on top; the last one that matches decides."""
        own = tuple(reversed(tuple(rules)))
        return Rules((_Level(len(_as_bytes(directory)), own), *self._levels)) if own else self

    def ignored(self, path: str, name: str, *, is_directory: bool) -> bool:
        path, name = _as_bytes(path), _as_bytes(name)
        for start, rules in self._levels:
            below = path[start:]
            for rule in rules:
                if rule.matches(below, name, is_directory):
                    return not rule.take_in
        return False


def _as_bytes(text: str) -> str:
    """A path with a character for each of its bytes: to git's rules, `?` is one byte."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def parse_rules(data: bytes) -> list[Rule]:
    """The rules of one file. Lines that git would not match to anything give none."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    rules = (_parse(line) for line in text.split("\n"))
    return [rule for rule in rules if rule is not None]


def _parse(line: str) -> Rule | None:
    line = _trim(line.removesuffix("\r"))
    if not line or line.startswith("#"):
        return None
    take_in = line.startswith("!")
    line = line[1:] if take_in else line
    directories_only = line.endswith("/")
    line = line[:-1] if directories_only else line
    if not line:
        return None
    name_only = "/" not in line
    line = line.removeprefix("/")
    if not _MAGIC.search(line):
        return Rule(take_in, directories_only, name_only, line, None)
    translated = _translate(line)
    if translated is None:
        return None
    return Rule(take_in, directories_only, name_only, None, re.compile(translated, re.DOTALL))


def _trim(line: str) -> str:
    """Without trailing spaces, except those behind a backslash."""
    end = 0
    at = 0
    while at < len(line):
        if line[at] == "\\":
            at += 2
            end = min(at, len(line))
        else:
            at += 1
            if line[at - 1] != " ":
                end = at
    return line[:end]


def _translate(pattern: str) -> str | None:
    """A regular expression for git's wildmatch with WM_PATHNAME; None where the pattern can never match."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            stars = at
            while at < len(pattern) and pattern[at] == "*":
                at += 1
            # git takes plain text in front off first, so `**` behind it begins a name: `a**/b` matches `a/x/b`
            begins = pattern[stars - 2] == "/" or _MAGIC.search(pattern[: stars - 1]) is None
            whole = begins and at - stars == 1
            if whole and at == len(pattern) and len(pattern) > 2:
                out.append(".*")
            elif whole and pattern[at : at + 1] == "/":
                out.append("(?:.*/)?")
                at += 1
            else:
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            read = _bracket(pattern, at)
            if read is None:
                return None
            part, at = read
            out.append(part)
        elif char == "\\":
            if at == len(pattern):
                return None
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "".join(out)


def _bracket(pattern: str, at: int) -> tuple[str, int] | None:
    """The set that begins behind `[`, and where the pattern goes on. None where it is not closed."""
    negated = pattern[at : at + 1] in ("!", "^") and at < len(pattern)
    at += negated
    parts: list[str] = []
    first = True
    while True:
        if at >= len(pattern):
            return None
        char = pattern[at]
        if char == "]" and not first:
            break
        first = False
        if pattern.startswith("[:", at):
            end = pattern.find("]", at + 2)
            if end > 0 and pattern[end - 1] == ":" and end - 1 > at + 1:
                if pattern[at + 2 : end - 1] not in _CLASSES:
                    return None
                parts.append(_CLASSES[pattern[at + 2 : end - 1]])
                at = end + 1
                continue
        low, at = _literal(pattern, at)
        if low is None:
            return None
        if pattern.startswith("-", at) and at + 1 < len(pattern) and pattern[at + 1] != "]":
            high, at = _literal(pattern, at + 1)
            if high is None:
                return None
            if low <= high:
                parts.append(f"{_escaped(low)}-{_escaped(high)}")
        else:
            parts.append(_escaped(low))
    inner = "".join(parts)
    if not inner:
        return ("[^/]" if negated else "[^\\s\\S]"), at + 1
    return f"(?!/)[{'^' if negated else ''}{inner}]", at + 1


def _literal(pattern: str, at: int) -> tuple[str | None, int]:
    if pattern[at] != "\\":
        return pattern[at], at + 1
    return (pattern[at + 1], at + 2) if at + 1 < len(pattern) else (None, at)


def _escaped(char: str) -> str:
    return "\\" + char if char in "\\]^-[&~|" else char
