"""Regular expressions for `matches`: the syntax of RE2, in time that grows with the text and never explodes.

Python's `re` goes back and forth (a short pattern may take for ever), and its letters and digits are those of the
Unicode of its version. Here all states are followed at once, and letters and digits are ASCII, as in RE2. So there
is nothing that needs going back: no references to groups and no looking ahead, which RE2 does not have either.
"""

from __future__ import annotations

from msgspec import Struct

from tenuto.core.expressions.cel.frames import Frame
from tenuto.core.expressions.cel.pattern_syntax import Instruction, PatternReader, is_word

__all__ = ["PATTERN_MAX", "Pattern", "read_pattern"]

PATTERN_MAX = 1_000
"""Characters of the longest pattern."""

_STEPS_KEPT = 4_096
_Step = tuple[frozenset[int], bool]


class Pattern(Struct, frozen=True):
    """A pattern, read. Equal where written the same."""

    written: str
    program: tuple[Instruction, ...]

    def found_in(self, text: str, frame: Frame) -> bool:
        """Whether some part of the text matches. Raises FlawError where that costs the frame too much."""
        states = frozenset((0,))
        known: dict[tuple[frozenset[int], int, str], _Step] = {}
        before = ""
        places = any(instruction.context for instruction in self.program)
        frame.spend(len(text) >> 2)
        for at in range(len(text) + 1):
            char = text[at : at + 1]
            context = _context(before, char) if places else 0
            step = known.get((states, context, char))
            if step is None:
                if len(known) >= _STEPS_KEPT:
                    known.clear()
                step = known[states, context, char] = self._step(states, context, char, frame)
            states, found = step
            if found:
                return True
            before = char
        return False

    def _step(self, states: frozenset[int], context: int, char: str, frame: Frame) -> _Step:
        """The states after a character, and whether the pattern is already found before it."""
        open_states = list(states)
        seen = set(states)
        after = {0}
        while open_states:
            frame.spend(1)
            at = open_states.pop()
            if at == len(self.program):
                return frozenset(), True
            instruction = self.program[at]
            if instruction.chars is not None:
                if char and instruction.chars.has(char):
                    after.add(at + 1)
                continue
            if instruction.context and not instruction.holds(context):
                continue
            for jump in instruction.jumps:
                if at + jump not in seen:
                    seen.add(at + jump)
                    open_states.append(at + jump)
        return frozenset(after), False


def _context(before: str, after: str) -> int:
    """What is true between two characters, as bits: see `pattern_syntax`."""
    context = 0 if before else 1
    context |= 0 if after else 2
    context |= 4 if before in ("", "\n") else 0
    context |= 8 if after in ("", "\n") else 0
    return context | (16 if is_word(before) != is_word(after) else 32)


def read_pattern(written: str) -> Pattern:
    """Read a pattern. Raises FlawError for what RE2 does not have, and for one that is too long."""
    return Pattern(written, PatternReader(written, PATTERN_MAX).read())
