"""Tools as data: what they are called, what they take, what they may do to the world, and what came back."""

from __future__ import annotations

from typing import Literal

import msgspec

from tenuto.core.ids import Digest, RunId, StepPath

__all__ = ["Effect", "Grants", "ToolCall", "ToolResult", "ToolSpec"]

Effect = Literal["read", "workspace", "idempotent", "once"]
"""`read`: free to repeat. `workspace`: changes only the step's tree, repeatable from the tree's digest.
`idempotent`: safe to repeat under the same key. `once`: an outside effect that must never be made twice."""


class Grants(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a step may touch beyond its own tree."""

    env: tuple[str, ...] = ()
    network: bool = False
    read: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        return self == Grants()


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A versioned tool. `parameters` and `output_schema` are JSON Schemas (canonical bytes).

    `version` is declared, or the hash of the tool's source. `tool_id` tells where it is from:
    `builtin:read_file`, `python:module:function`. `approval`: a person must agree before each call.
    """

    approval: bool = False
    description: str
    effect: Effect
    name: str
    output_schema: msgspec.Raw | None = None
    parameters: msgspec.Raw
    reconcilable: bool = False
    timeout_ms: int = 120_000
    tool_id: str
    version: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call as a tool receives it. `key` is equal on every repeat of the call, after a crash too."""

    arguments: msgspec.Raw
    attempt: int
    call: str
    key: Digest
    run: RunId
    step: StepPath
    tool: str
    tree: Digest
    try_number: int = 1


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a finished tool call: the typed record that `artifacts` and lineage show.

    `artifact_id` names the persisted output (the digest of its bytes); `timestamp_us` is UTC since the epoch.
    """

    arguments: msgspec.Raw
    artifact_id: Digest
    call: str
    consuming_steps: tuple[str, ...] = ()
    duration_ms: int
    output_schema: Digest | None = None
    producing_agent: str | None = None
    producing_step: str
    schema_met: bool | None = None
    status: Literal["ok", "error"]
    timestamp_us: int
    tool_id: str
    tool_name: str
    tool_version: str
