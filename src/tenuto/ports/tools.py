"""Tools and sandboxes as ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from msgspec import Raw

from tenuto.core.repetition import Repetition
from tenuto.core.tools import Grants, ToolCall, ToolSpec
from tenuto.ports.workspace import TreeEdit, WorkingDirectory

__all__ = ["Sandbox", "SandboxCommand", "SandboxResult", "Tool", "ToolContext", "ToolOutput", "Tools"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolOutput:
    """What a tool answers. `value` is canonical JSON; status `error` is an answer the agent sees."""

    status: Literal["ok", "error"] = "ok"
    value: Raw


class ToolContext(Protocol):
    """What a tool may use of the world while it serves one call."""

    @property
    def environment(self) -> Mapping[str, str]:
        """`TENUTO_*` of the call, and the variables its step was granted."""
        ...

    @property
    def grants(self) -> Grants: ...

    @property
    def repetition(self) -> Repetition | None:
        """What a process that the tool starts is given where the step asks for repeatable commands."""
        ...

    @property
    def secrets(self) -> Mapping[str, str]:
        """The values of the secrets that the step was granted, by name.

        Wherever one enters the engine again, in a result or an error, `[secret:NAME]` takes its place.
        """
        ...

    @property
    def deadline_us(self) -> int:
        """Time for the whole call, in microseconds from its start."""
        ...

    @property
    def files(self) -> TreeEdit:
        """The step's tree, without any directory. Edits become the call's output tree when the tool returns ok."""
        ...

    async def directory(self) -> WorkingDirectory:
        """The step's tree as a directory. What is in it when the tool returns becomes the call's output tree."""
        ...


class Tool(Protocol):
    """A versioned callable. Its failures by consequence: an answer with status `error`, or ToolCallError."""

    @property
    def spec(self) -> ToolSpec: ...

    async def invoke(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Serve one call. Must be cancellable. Arguments were validated against `spec.parameters` before."""
        ...

    async def reconcile(self, call: ToolCall) -> ToolOutput | None:
        """For `once` tools with `spec.reconcilable`: what a call in doubt did; None = it was never made."""
        ...


class Tools(Protocol):
    """The tools of an engine by name, and the checks of what goes in and comes out.

    Checks raise nothing: they return at most a few lines `$.path: what is wrong`, none if all is well.
    """

    def get(self, name: str, /) -> Tool | None: ...

    def specs(self) -> Sequence[ToolSpec]: ...

    def validate_arguments(self, spec: ToolSpec, arguments: Raw) -> Sequence[str]: ...

    def validate_output(self, spec: ToolSpec, value: Raw) -> Sequence[str]: ...

    def complaints(self, schema: bytes, value: Raw) -> Sequence[str]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxCommand:
    """A process to run. `argv` is looked up on the PATH of `environment`; `directory` is the only writable tree
    beside `writable` paths and a private /tmp. With `repetition` it gives the same bytes each time, as far as
    `docs/tools.md` says, and sees `directory` under a fixed path."""

    argv: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    network: bool = False
    timeout_us: int = 120_000_000
    output_bytes_max: int = 1 << 20
    memory_bytes_max: int = 2 << 30
    processes_max: int = 128
    file_bytes_max: int = 1 << 30
    repetition: Repetition | None = None
    standard_input: bytes = field(default=b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxResult:
    """How a process ended. `exit_code` is negative for a signal; `ended` says why it is over.

    Output beyond the cap is dropped and counted in `dropped_bytes`; nothing of the process survives.
    """

    dropped_bytes: int = 0
    duration_us: int
    ended: Literal["exit", "timeout"]
    exit_code: int
    stderr: bytes
    stdout: bytes


class Sandbox(Protocol):
    @property
    def name(self) -> str:
        """As it is written into the run's record: `bubblewrap`, `sandlock`, `none`."""
        ...

    async def run(self, command: SandboxCommand) -> SandboxResult:
        """Run to the end. No process of it is left when this returns, is cancelled, or when the engine dies.

        SandboxUnavailableError when it cannot be set up on this machine, or cannot make the command repeatable.
        """
        ...
