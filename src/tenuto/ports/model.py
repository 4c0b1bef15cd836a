"""Models as a port."""

from __future__ import annotations

from typing import Protocol

from tenuto.core.models import ModelProfile, ModelReply, ModelRequest

__all__ = ["ModelProvider"]


class ModelProvider(Protocol):
    """One provider of models; the registry of an engine maps the `provider:` part of a name to one of these."""

    def profile(self, model: str) -> ModelProfile:
        """What is known of `model` (the full name). Quick; called when a run starts. UsageError if unknown."""
        ...

    async def complete(self, request: ModelRequest, *, deadline_us: int) -> ModelReply:
        """One try of one call, finished within `deadline_us` microseconds from now, reply bodies bounded in size.

        Raises ModelCallError and nothing else (cancellation passes through). Never retries by itself.
        """
        ...

    async def close(self) -> None:
        """Give back connections and processes. Idempotent."""
        ...
