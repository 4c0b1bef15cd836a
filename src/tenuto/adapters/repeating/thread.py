"""One followed thread while it stands still at a system call, and the two ways to go on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tenuto.adapters.repeating.process import Process
from tenuto.adapters.repeating.ptrace import Registers, read_memory, write_memory, write_registers

__all__ = ["After", "Handler", "Thread", "signed"]

After = Callable[[Registers], None]
"""What is done when the call is over."""
_NO_CALL = (1 << 64) - 1
_RED_ZONE = 512
"""Below the stack pointer a program may keep this much; further down nothing is kept."""


@dataclass(slots=True)
class Thread:
    pid: int
    process: Process
    after: After | None = None

    def answer(self, registers: Registers, result: int) -> None:
        """The call is not made; the program finds this result."""
        registers.orig_rax = _NO_CALL
        registers.rax = result % (1 << 64)
        write_registers(self.pid, registers)

    def read(self, address: int, length: int) -> bytes | None:
        return read_memory(self.pid, address, length)

    def write(self, address: int, data: bytes) -> bool:
        return write_memory(self.pid, address, data)

    def lend(self, registers: Registers, data: bytes) -> int:
        """Put bytes where the program keeps none, for the length of the call: their address."""
        address = (registers.rsp - _RED_ZONE - len(data)) & ~15
        return address if self.write(address, data) else 0


Handler = Callable[[Thread, Registers], After | None]
"""Called when a thread begins a system call."""


def signed(value: int, bits: int = 32) -> int:
    """A register's lower bits as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
