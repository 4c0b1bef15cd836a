"""Which characters a message may show: a fixed set, since messages are recorded and Python's tables change."""

from __future__ import annotations

import re

__all__ = ["is_printable", "printable"]

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\uf8ff\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\U000e0000-\U0010ffff]"
)
"""Controls, spaces but the plain one, marks of direction, surrogates, private use, tags."""


def is_printable(text: str) -> bool:
    """Whether all of it may be shown as it is."""
    return _HIDDEN.search(text) is None


def printable(text: str) -> str:
    """The text with a question mark for what may not be shown."""
    return _HIDDEN.sub("?", text)
