"""Randomness as arithmetic: everything random in a run is a function of the run's seed and a position."""

from __future__ import annotations

import hashlib

from tenuto.core.ids import Digest, Position, RunId

__all__ = ["backoff_ms", "call_digest", "call_seed", "fraction", "run_seed"]


def run_seed(run: RunId) -> Digest:
    """The seed of a run for which none was given: hash of its id."""
    return Digest(hashlib.sha256(b"run:" + run.encode()).hexdigest())


def call_seed(seed: str, where: Position) -> int:
    """The sampling seed of one call: 31 bits, since some servers read a signed 32-bit integer."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{where}".encode()).digest()[:4], "big") >> 1


def call_digest(seed: str, place: str) -> Digest:
    """A seed for what a command at this place draws."""
    return Digest(hashlib.sha256(f"{seed}!{place}".encode()).hexdigest())


def fraction(seed: str, where: str) -> float:
    """A number in [0, 1) that belongs to this seed and place."""
    return int.from_bytes(hashlib.sha256(f"{seed}#{where}".encode()).digest()[:7], "big") / (1 << 56)


def backoff_ms(seed: str, where: str, *, base_ms: int, number: int, limit_ms: int = 300_000) -> int:
    """Exponential backoff with full derivable jitter: between half and all of `base_ms * 2^(number-1)`."""
    full = min(limit_ms, base_ms << min(number - 1, 20))
    return full // 2 + int(fraction(seed, where) * (full - full // 2 + 1))
