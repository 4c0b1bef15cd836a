"""A string for a regular expression, best effort: literals, classes, groups, alternatives and counts.

Look-arounds and back references are not understood (ValueError); whoever asks checks the string it gets.
"""

from __future__ import annotations

from tenuto.adapters.models.draws import Draw

__all__ = ["matching"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_CLASSES = {"d": _DIGITS, "w": _LETTERS + _DIGITS + "_", "s": " ", "D": _LETTERS, "W": "-", "S": _LETTERS + _DIGITS}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_REPEATS_MAX = 1_000
_PRINTABLE = "".join(map(chr, range(32, 127)))


def matching(pattern: str, draw: Draw, *, padding: int = 0) -> str:
    """A string that `pattern` should find; `padding` makes open counts (`*`, `+`) that much longer.

    Raises ValueError for syntax that is not understood.
    """
    reader = _Reader(pattern, draw, padding)
    text = reader.alternatives()
    if reader.at < len(pattern):
        raise ValueError(f"unbalanced ) in the pattern {pattern!r}")
    return text


class _Reader:
    """Reads a pattern from left to right and writes a match on the way."""

    def __init__(self, pattern: str, draw: Draw, padding: int) -> None:
        self.pattern = pattern
        self.at = 0
        self._draw = draw
        self._padding = padding

    def alternatives(self) -> str:
        options = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            options.append(self._sequence())
        return self._draw.choose(options)

    def _peek(self) -> str:
        return self.pattern[self.at] if self.at < len(self.pattern) else ""

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise ValueError(f"the pattern {self.pattern!r} ends too early")
        self.at += 1
        return character

    def _sequence(self) -> str:
        out = []
        while self._peek() not in ("", "|", ")"):
            start = self.at
            piece = self._atom()
            low, high = self._counts()
            count = self._draw.between(low, high)
            if count == 0:
                continue
            out.append(piece)
            after = self.at
            for _ in range(count - 1):
                self.at = start
                out.append(self._atom())
            self.at = after
        return "".join(out)

    def _counts(self) -> tuple[int, int]:
        mark = self._peek()
        low, high = 1, 1
        if mark == "?":
            low, high = 0, 1
        elif mark in ("*", "+"):
            low = (mark == "+") + self._padding
            high = low + 3
        elif mark == "{" and (closed := self.pattern.find("}", self.at)) > 0:
            first, comma, last = self.pattern[self.at + 1 : closed].partition(",")
            if not first.isdigit() or (last and not last.isdigit()):
                return 1, 1
            low = int(first)
            high = int(last) if last else low + self._padding + 3 if comma else low
            if low > high or low > _REPEATS_MAX:
                raise ValueError(f"the counts of {self.pattern!r} are not understood")
            high = min(high, max(low, 12 + self._padding))
            self.at = closed
        else:
            return 1, 1
        self.at += 1
        if self._peek() == "?" or self._peek() == "+":
            self.at += 1
        return low, high

    def _atom(self) -> str:
        character = self._next()
        if character in "^$":
            return ""
        if character == ".":
            return self._draw.choose(_LETTERS)
        if character == "[":
            return self._set()
        if character == "(":
            return self._group()
        if character == "\\":
            return self._escape()
        if character in "*+?":
            raise ValueError(f"nothing to repeat in the pattern {self.pattern!r}")
        return character

    def _group(self) -> str:
        if self._peek() == "?":
            self.at += 1
            kind = self._next()
            if kind == "P":
                kind = self._next()
            if kind == "<" and self._peek() not in ("=", "!"):
                self.at = self.pattern.index(">", self.at) + 1
            elif kind != ":":
                raise ValueError(f"the group (?{kind} of {self.pattern!r} is not understood")
        text = self.alternatives()
        if self._next() != ")":
            raise ValueError(f"a group of {self.pattern!r} is not closed")
        return text

    def _escape(self) -> str:
        character = self._next()
        if character in ("b", "B", "A", "Z", "z"):
            return ""
        if character in _CLASSES:
            return self._draw.choose(_CLASSES[character])
        if character in ("u", "x"):
            width = 4 if character == "u" else 2
            digits = self.pattern[self.at : self.at + width]
            self.at += width
            return chr(int(digits, 16))
        if character.isalnum() and character not in _CONTROLS:
            raise ValueError(f"\\{character} of {self.pattern!r} is not understood")
        return _CONTROLS.get(character, character)

    def _set(self) -> str:
        negated = self._peek() == "^"
        self.at += negated
        members = ""
        first = True
        while first or self._peek() != "]":
            first = False
            members += self._member()
        self.at += 1
        if negated:
            members = "".join(c for c in _PRINTABLE if c not in members)
        if not members:
            raise ValueError(f"a class of {self.pattern!r} admits nothing")
        return self._draw.choose(members)

    def _member(self) -> str:
        character = self._next()
        if character == "\\":
            named = self._peek()
            if named in _CLASSES:
                self.at += 1
                return _CLASSES[named]
            character = "\b" if named == "b" else ""
            self.at += bool(character)
            character = character or self._escape()
        if self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
            self.at += 1
            last = self._next()
            if last == "\\":
                last = self._escape()
            if ord(last) < ord(character):
                raise ValueError(f"a range of {self.pattern!r} runs backwards")
            return "".join(map(chr, range(ord(character), min(ord(last), ord(character) + 512) + 1)))
        return character
