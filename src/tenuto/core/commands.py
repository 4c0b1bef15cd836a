"""The closed union of commands: what the kernel wants done. Each carries the fact that is journaled before it."""

from __future__ import annotations

import msgspec

from tenuto.core.events import Derived
from tenuto.core.events.call import CallInDoubt, MergeRequested, ModelCallRequested, ToolCallRequested
from tenuto.core.events.plan import PlanRequested
from tenuto.core.events.program import TimerSet
from tenuto.core.ids import Digest
from tenuto.core.models import Message, ToolSchema
from tenuto.core.repetition import Repetition
from tenuto.core.tools import Grants

__all__ = [
    "CallModel",
    "CallTool",
    "Command",
    "Conclude",
    "LoadPlan",
    "MergeTrees",
    "ReconcileCall",
    "SetTimer",
    "intent",
]


class Conclude(msgspec.Struct, frozen=True, gc=False):
    """Nothing to do outside: the fact is all."""

    event: Derived


class CallModel(msgspec.Struct, frozen=True, gc=False):
    """`blobs` are the parts of the request that no earlier record names, by digest."""

    event: ModelCallRequested
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    output_schema: msgspec.Raw | None
    blobs: tuple[tuple[Digest, bytes], ...]
    timeout_us: int | None


class CallTool(msgspec.Struct, frozen=True, gc=False):
    """`offered` are the tools that the asking agent may use; None = every tool of the run. `grants` and `keep` are
    those of the step, `output_schema` is that of a command's standard output,
    `repetition` what a repeatable command is given."""

    event: ToolCallRequested
    timeout_us: int | None
    grants: Grants = Grants()
    keep: tuple[str, ...] = ()
    offered: tuple[str, ...] | None = None
    output_schema: msgspec.Raw | None = None
    repetition: Repetition | None = None


class MergeTrees(msgspec.Struct, frozen=True, gc=False):
    event: MergeRequested


class LoadPlan(msgspec.Struct, frozen=True, gc=False):
    """Read the sub-plan that an earlier step has produced."""

    event: PlanRequested


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    event: TimerSet


class ReconcileCall(msgspec.Struct, frozen=True, gc=False):
    """Ask a tool what became of a call in doubt."""

    event: CallInDoubt


Command = Conclude | CallModel | CallTool | MergeTrees | LoadPlan | SetTimer | ReconcileCall


def intent(command: Command) -> Derived:
    """The fact that is durable before the command is carried out."""
    return command.event
