"""A body that may be too large for a record: digest, length, and the value where it is at hand."""

from __future__ import annotations

from typing import Any

import msgspec

from tenuto.core.canonical import canonical, digest, parse
from tenuto.core.ids import Digest

__all__ = ["INLINE_MAX", "Content"]

INLINE_MAX = 16 * 1024
"""Bytes of the longest body that a record carries itself; longer ones live in the artifact store."""


ABSENT = msgspec.Raw(b"")
UNNAMED = Digest("")


class Content(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The canonical bytes of a JSON value, named by their digest: at once, or by `named` when it is needed.

    `raw` is `ABSENT` where only the reference is at hand: in a record whose body is over `INLINE_MAX` bytes. The
    shell fills it in (`filled`) before the kernel sees the event, so the kernel never reads a blob.
    """

    digest: Digest
    length: int
    raw: msgspec.Raw = ABSENT

    @classmethod
    def of(cls, value: Any) -> Content:
        """Encode a value. Raises ValueError where it has no canonical form (use `canonical.clean` before)."""
        return cls.of_bytes(canonical(value))

    @classmethod
    def of_bytes(cls, data: bytes) -> Content:
        """Wrap bytes that are canonical already."""
        return cls(digest=digest(data), length=len(data), raw=msgspec.Raw(data))

    @classmethod
    def unnamed(cls, raw: msgspec.Raw) -> Content:
        """Wrap canonical bytes that a record will name (`named`): until then nobody needs their digest."""
        return cls(digest=UNNAMED, length=len(raw), raw=raw)

    def named(self, known: Digest | None = None) -> Content:
        """With its digest: the `known` one, where a record has it, or computed."""
        if self.digest != UNNAMED:
            return self
        return Content(digest(self.data) if known is None else known, self.length, self.raw)

    @property
    def at_hand(self) -> bool:
        """Whether the body is here and not only its name."""
        return self.raw is not ABSENT

    @property
    def data(self) -> bytes:
        """The canonical bytes. Raises LookupError where only the reference is at hand."""
        if not self.at_hand:
            raise LookupError(f"the body {self.digest} is not at hand")
        return bytes(self.raw)

    @property
    def value(self) -> Any:
        """The decoded value (a new one each time)."""
        return parse(self.data)

    def stored(self) -> Content:
        """As a record carries it: without the body where that is too long."""
        return self if self.length <= INLINE_MAX or not self.at_hand else Content(self.digest, self.length)

    def filled(self, data: bytes) -> Content:
        """With the body put back. The caller has verified `data` against the digest."""
        return Content(self.digest, self.length, msgspec.Raw(data))
