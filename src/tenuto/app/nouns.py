"""Numbers with their nouns."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """`1 step`, `2 steps`, `1,200 records`; `2 tries`, `3 bodies`."""
    if number == 1:
        return f"1 {noun}"
    many = f"{noun[:-1]}ies" if noun.endswith(("ry", "dy")) else f"{noun}s"
    return f"{number:,} {many}"
