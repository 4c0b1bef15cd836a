"""A stream of choices that belongs to a seed: what a mock uses in place of randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["WORDS", "Draw"]

T = TypeVar("T")

_WORD_TEXT = (
    "able acid aged also area army away baby back ball band bank base bath bear beat bell best bird blow blue boat "
    "body bone book born both bowl bulk burn bush busy call calm came camp card care case cash cast cell chat chip "
    "city clay club coal coat code cold come cook cool cope copy core corn cost crew crop dark data date dawn days "
    "dead deal dear deep desk dial diet dish does door down draw drop drum dual duke dust duty each earn ease east "
    "easy edge else even ever evil exit face fact fail fair fall farm fast fate fear feed feel feet fell felt file "
    "fill film find fine fire firm fish five flat flow food foot ford form fort four free from fuel full fund gain "
    "game gate gave gear gene gift girl give glad goal goes gold golf gone good gray grew grey grow gulf hair half "
    "hall hand hang hard harm hate have head hear heat held help here hero high hill hint hire hold hole holy home "
    "hope host hour huge hung hunt idea inch into iron item jack join jump jury just keen keep keys kept kick kind "
    "king knee knew know lack lady laid lake land lane last late lead leaf left lend less life lift like line link "
    "list live load loan lock long look lord lose loss lost love luck made mail main make male many mark mass meal "
    "mean meat meet menu mild mile milk mill mind mine miss mode mood moon"
)
WORDS = tuple(_WORD_TEXT.split())
"""256 plain words, so that one byte names one."""


class Draw:
    """Choices derived from a seed text. Two draws of one seed make the same choices, on every machine."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode("utf-8", "replace")
        self._block = 0
        self._pool = b""

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes of the stream."""
        while len(self._pool) < count:
            block = hashlib.shake_256(b"%d:%b" % (self._block, self._seed)).digest(max(64, count))
            self._block += 1
            self._pool += block
        taken, self._pool = self._pool[:count], self._pool[count:]
        return taken

    def below(self, limit: int) -> int:
        """An integer in [0, limit). `limit` is at least 1."""
        if limit <= 1:
            return 0
        return int.from_bytes(self.bytes((limit.bit_length() + 7) // 8 + 4), "big") % limit

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return int.from_bytes(self.bytes(7), "big") / (1 << 56)

    def choose(self, items: Sequence[T]) -> T:
        """One of `items`, which is not empty."""
        return items[self.below(len(items))]

    def text(self, size: int) -> str:
        """`size` ASCII characters of plain words."""
        words = " ".join(map(WORDS.__getitem__, self.bytes(size // 5 + 1)))
        return words[:size]
