"""What is known of a followed process: its name among the others, its clock and its random numbers.

All three depend on what the process and those before it did, on nothing of the machine and on no other branch of the
family: so processes side by side do not disturb each other, in whatever order they run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

__all__ = ["MONOTONIC_NS", "Process"]

MONOTONIC_NS = 1_000 * 10**9
"""What clocks that count from the start of a machine show at first: not 0, which programs take for unset."""
_STILL_READS = 10_000
_STEP_NS = 10**6


@dataclass(slots=True)
class Process:
    """`elapsed_ns`: how far its clocks have moved on. `place`: from the first process down, `0.2.1`."""

    seed: bytes
    start_ns: int
    place: str = "0"
    elapsed_ns: int = 0
    children: int = 0
    listings: dict[int, tuple[list[bytes], int]] = field(default_factory=dict[int, tuple[list[bytes], int]])
    """By descriptor of a directory: its entries, and how many of them were given."""
    _reads: int = 0
    _taken: int = 0

    def child(self) -> Process:
        """A process that this one starts now. Its clock goes on from here."""
        self.children += 1
        place = f"{self.place}.{self.children}"
        return Process(self.seed, self.start_ns, place, self.elapsed_ns, listings=dict(self.listings))

    def read_clock(self) -> int:
        """How far the clocks have moved on, in nanoseconds.

        They stand still. They move on where the process waits in vain, and a little with each reading after the
        first 10,000, so that a program that reads them until a time has come gets there.
        """
        self._reads += 1
        if self._reads > _STILL_READS:
            self.elapsed_ns += _STEP_NS
        return self.elapsed_ns

    def waited(self, nanoseconds: int) -> None:
        self.elapsed_ns += max(0, nanoseconds)

    def at_least(self, elapsed_ns: int) -> None:
        """Its clocks show no earlier time than those of a process for whose end it waited."""
        self.elapsed_ns = max(self.elapsed_ns, elapsed_ns)

    def random(self, length: int) -> bytes:
        """The next random bytes."""
        self._taken += 1
        return hashlib.shake_256(self.seed + f"/{self.place}/{self._taken}".encode()).digest(length)
