"""Models as a port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tenuto.core.models import ModelProfile, ModelReply, ModelRequest

__all__ = ["ModelProvider", "OnText"]

OnText = Callable[[str], object]
"""Is told the text of an answer as it arrives, piece by piece, in order. Quick; it never raises."""


class ModelProvider(Protocol):
    """One provider of models; the registry of an engine maps the `provider:` part of a name to one of these."""

    def profile(self, model: str) -> ModelProfile:
        """What is known of `model` (the full name). Quick; called when a run starts. UsageError if unknown."""
        ...

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """One try of one call, finished within `deadline_us` microseconds from now, reply bodies bounded in size.

        `on_text`, given where somebody watches, may be told the text on the way. It is for the eye only: the reply
        is the same without it, and a provider that has its answers whole does not call it.
        Raises ModelCallError and nothing else (cancellation passes through). Never retries by itself.
        """
        ...

    async def close(self) -> None:
        """Give back connections and processes. Idempotent."""
        ...
