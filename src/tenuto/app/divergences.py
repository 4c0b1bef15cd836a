"""The first difference of a replay, as lines: where, what, recorded against current."""

from __future__ import annotations

from typing import Any

from tenuto.app.structures import structural_diff
from tenuto.runtime.replay import Divergence

__all__ = ["difference_lines"]


def difference_lines(divergence: Divergence) -> list[str]:
    """A line that names the call, one with the place in the plan or prompt, then a diff."""
    place = f"{divergence.where}: " if divergence.where else ""
    about = ""
    if divergence.call or divergence.step:
        about = f", call {divergence.call}" if divergence.call else f", step {divergence.step}"
    lines = [f"diverged at record {divergence.seq}{about}", f"  {place}{divergence.what}"]
    sides = [_telling(side) if side else None for side in (divergence.recorded, divergence.current)]
    return lines + [f"  {line}" for line in structural_diff(sides[0], sides[1], "recorded", "current")]


def _telling(side: dict[str, Any]) -> dict[str, Any]:
    """Without the digests that only follow from what people can read."""
    return {name: value for name, value in side.items() if len(side) < 3 or name not in ("fingerprint", "parts")}
