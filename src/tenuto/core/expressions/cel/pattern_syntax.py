"""Reads a regular expression into a program: characters to take, places to be at, and jumps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from msgspec import Struct

from tenuto.core.expressions.errors import FlawError
from tenuto.core.expressions.wording import cut, quoted

__all__ = ["PROGRAM_MAX", "CharSet", "Instruction", "PatternReader", "is_word"]

PROGRAM_MAX = 2_000
"""Instructions of the longest program: `{n}` repeats what stands before it."""
_NESTING_MAX = 20
_START, _END, _LINE_START, _LINE_END, _EDGE, _NO_EDGE = 1, 2, 4, 8, 16, 32
_LAST = 0x10FFFF

_Ranges = tuple[tuple[int, int], ...]
_DIGIT: _Ranges = ((48, 57),)
_WORD: _Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: _Ranges = ((9, 10), (12, 13), (32, 32))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROL = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7}
_PLACES = {"A": _START, "z": _END, "b": _EDGE, "B": _NO_EDGE}
_COUNT = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}")
_REPEATS = re.compile(rf"[*+?]|{_COUNT.pattern}")
_CODE = re.compile(r"x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}")
_FLAGS = re.compile(r"\(\?([ims]+)\)")


class CharSet(Struct, frozen=True):
    """Some characters, or all but these."""

    ranges: _Ranges
    negated: bool = False

    def has(self, char: str) -> bool:
        code = ord(char)
        return any(low <= code <= high for low, high in self.ranges) is not self.negated


class Instruction(NamedTuple):
    """Take one of `chars`; or, where `context` holds, go on at each of `jumps`, counted from here."""

    chars: CharSet | None
    jumps: tuple[int, ...] = (1,)
    context: int = 0

    def holds(self, context: int) -> bool:
        """Whether a place is of the kind that is asked for."""
        return bool(self.context & context)


_Program = tuple[Instruction, ...]


def is_word(char: str) -> bool:
    """Whether a character is an ASCII letter, digit or `_`; the end of a text is none."""
    return char != "" and char.isascii() and (char.isalnum() or char == "_")


def _jump(*jumps: int) -> Instruction:
    return Instruction(None, jumps)


class PatternReader:
    """Reads one pattern."""

    def __init__(self, written: str, length_max: int) -> None:
        if len(written) > length_max:
            raise FlawError(f"a pattern is longer than {length_max} characters", "make it shorter")
        self._written = written
        self._at = 0
        self._flags = ""
        self._nesting = 0

    def read(self) -> _Program:
        """The program. Raises FlawError."""
        if (flags := _FLAGS.match(self._written)) is not None:
            self._flags = flags[1]
            self._at = flags.end()
        program = self._choice()
        if self._at < len(self._written):
            self._refuse("there is a ) without its (", "write \\) for the character")
        return program

    def _choice(self) -> _Program:
        program = self._sequence()
        while self._take("|"):
            other = self._sequence()
            program = (_jump(1, len(program) + 2), *program, _jump(len(other) + 1), *other)
        self._bound(program)
        return program

    def _sequence(self) -> _Program:
        program: list[Instruction] = []
        while self._at < len(self._written) and self._written[self._at] not in "|)":
            program.extend(self._repeated(self._one()))
            self._bound(program)
        return tuple(program)

    def _repeated(self, one: _Program) -> _Program:
        sign = self._written[self._at : self._at + 1]
        if sign == "*":
            program = (_jump(1, len(one) + 2), *one, _jump(-len(one) - 1))
        elif sign == "+":
            program = (*one, _jump(-len(one), 1)) if one else one
        elif sign == "?":
            program = (_jump(1, len(one) + 1), *one)
        elif (count := _COUNT.match(self._written, self._at)) is not None:
            program = self._counted(one, count)
            self._at = count.end() - 1
        else:
            return one
        self._at += 1
        self._take("?")
        if _REPEATS.match(self._written, self._at):
            self._refuse("two repetitions stand together", "put the first into ( )")
        return program

    def _counted(self, one: _Program, count: re.Match[str]) -> _Program:
        least = int(count[1])
        most = int(count[3]) if count[3] else least
        if most < least:
            self._refuse(f"{count[0]} has its numbers the wrong way round", "write the smaller one first")
        if max(least, most) * (len(one) + 1) > PROGRAM_MAX:
            self._refuse(f"{count[0]} repeats too much", "make the number or the pattern smaller")
        if count[2] and not count[3]:
            return (*(one * least), _jump(1, len(one) + 2), *one, _jump(-len(one) - 1))
        left: _Program = ()
        for _ in range(most - least):
            left = (_jump(1, len(one) + len(left) + 1), *one, *left)
        return (*(one * least), *left)

    def _one(self) -> _Program:
        char = self._written[self._at]
        self._at += 1
        match char:
            case "(":
                return self._group()
            case "[":
                return (Instruction(self._set()),)
            case ".":
                return (Instruction(CharSet(() if "s" in self._flags else ((10, 10),), True)),)
            case "^":
                return (Instruction(None, (1,), _LINE_START if "m" in self._flags else _START),)
            case "$":
                return (Instruction(None, (1,), _LINE_END if "m" in self._flags else _END),)
            case "*" | "+" | "?":
                return self._refuse(f"{char} has nothing before it to repeat", f"write \\{char} for the character")
            case "\\":
                if self._written[self._at : self._at + 1] in _PLACES:
                    self._at += 1
                    return (Instruction(None, (1,), _PLACES[self._written[self._at - 1]]),)
                return (Instruction(self._escape()),)
            case _:
                return (Instruction(self._folded(((ord(char), ord(char)),))),)

    def _group(self) -> _Program:
        if self._written.startswith("?", self._at):
            if not self._written.startswith("?:", self._at):
                self._refuse("of (? only (?: is there, and (?i), (?m), (?s) at the start", "write ( or (?:")
            self._at += 2
        self._nesting += 1
        if self._nesting > _NESTING_MAX:
            self._refuse("the groups are nested too deep", "make it simpler")
        program = self._choice()
        self._nesting -= 1
        if not self._take(")"):
            self._refuse("a ( is not closed", "write \\( for the character")
        return program

    def _escape(self) -> CharSet:
        char = self._written[self._at : self._at + 1]
        if (code := _CODE.match(self._written, self._at)) is not None:
            self._at = code.end()
            value = int(code[1] or code[2], 16)
            if value > _LAST:
                self._refuse("there is no such character", "write one of at most \\x{10FFFF}")
            return self._folded(((value, value),))
        self._at += 1
        if char and char.lower() in _CLASSES:
            return CharSet(_CLASSES[char.lower()], char.isupper())
        if char in _CONTROL:
            return CharSet(((_CONTROL[char], _CONTROL[char]),))
        if not char or not char.isascii() or char.isalnum() or char == "_":
            self._refuse(f"\\{char} is not there", "use \\d \\w \\s \\b and the like, or ranges such as [a-z]")
        return CharSet(((ord(char), ord(char)),))

    def _set(self) -> CharSet:
        """What stands in [ ]."""
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._take("]"):
            if self._at >= len(self._written):
                self._refuse("a [ is not closed", "write \\[ for the character")
            first = False
            low = self._member()
            if low.negated or len(low.ranges) != 1 or low.ranges[0][0] != low.ranges[0][1]:
                ranges.extend(_complement(low.ranges) if low.negated else low.ranges)
            elif self._range_follows():
                self._at += 1
                high = self._member()
                if high.negated or len(high.ranges) != 1 or high.ranges[0][1] < low.ranges[0][0]:
                    self._refuse("a range in [ ] has no end, or ends before it begins", "write it as a-z")
                ranges.append((low.ranges[0][0], high.ranges[0][1]))
            else:
                ranges.append(low.ranges[0])
        return CharSet(self._folded(tuple(ranges)).ranges, negated)

    def _range_follows(self) -> bool:
        return self._written.startswith("-", self._at) and self._written[self._at + 1 : self._at + 2] not in ("", "]")

    def _member(self) -> CharSet:
        char = self._written[self._at]
        if char == "[" and self._written.startswith("[:", self._at):
            self._refuse("[: :] is not there", "write ranges such as a-z")
        self._at += 1
        if char != "\\":
            return CharSet(((ord(char), ord(char)),))
        flags, self._flags = self._flags, ""
        found = self._escape()
        self._flags = flags
        return found

    def _folded(self, ranges: _Ranges) -> CharSet:
        """With (?i), ASCII letters in both cases."""
        if "i" not in self._flags:
            return CharSet(ranges)
        added: list[tuple[int, int]] = []
        for low, high in ranges:
            for first, last, distance in ((65, 90, 32), (97, 122, -32)):
                if max(low, first) <= min(high, last):
                    added.append((max(low, first) + distance, min(high, last) + distance))
        return CharSet((*ranges, *added))

    def _take(self, sign: str) -> bool:
        if not self._written.startswith(sign, self._at):
            return False
        self._at += 1
        return True

    def _bound(self, program: Sequence[Instruction]) -> None:
        if len(program) > PROGRAM_MAX:
            self._refuse("the pattern is too large", "repeat less in it")

    def _refuse(self, what: str, fix: str) -> NoReturn:
        raise FlawError(f"the pattern {quoted(cut(self._written))}: {what}", fix)


def _complement(ranges: _Ranges) -> _Ranges:
    """All characters but these; the ranges are in order and apart."""
    edges = [-1, *(edge for low, high in ranges for edge in (low - 1, high + 1)), _LAST + 1]
    edges[0] = 0
    edges[-1] = _LAST
    return tuple((edges[i], edges[i + 1]) for i in range(0, len(edges), 2) if edges[i] <= edges[i + 1])
