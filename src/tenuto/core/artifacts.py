"""Artifacts as data: named, versioned entries on immutable blobs."""

from __future__ import annotations

import msgspec

from tenuto.core.ids import Digest, RunId

__all__ = ["Artifact", "ToolMetadata"]


class ToolMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which tool made an artifact, and for whom."""

    consuming_agents: tuple[str, ...] = ()
    producing_agent: str | None = None
    schema: Digest | None = None
    tool_name: str
    version: str


class Artifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable entry: (run, name, version) -> blob. Nothing is ever overwritten; versions count from 1."""

    call: str | None = None
    consuming_steps: tuple[str, ...] = ()
    digest: Digest
    inputs: tuple[Digest, ...] = ()
    labels: dict[str, str] = {}
    media_type: str = "application/octet-stream"
    name: str
    producing_agent: str | None = None
    producing_step: str | None = None
    run: RunId
    schema: Digest | None = None
    size: int
    tool_metadata: ToolMetadata | None = None
    version: int

    @property
    def artifact_id(self) -> str:
        return f"{self.run}:{self.name}@{self.version}"
