"""Real models for tests: the packaged small model behind its own OpenAI-compatible HTTP server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenuto.adapters.models.local_weights import find_weights, load
from tenuto.errors import UsageError

__all__ = ["LocalModelServer"]


class LocalModelServer:
    """llama.cpp's server with the packaged model on 127.0.0.1 at a free port, in this process.

        with LocalModelServer() as server:
            adapter = OpenAIAdapter(server.base_url, clock=clock)

    UsageError where the packages are missing. One slot, no prompt cache: answers repeat bit for bit when asked
    one at a time.
    """

    def __init__(self, weights: Path | None = None, *, context_tokens: int = 1024) -> None:
        self._weights = weights
        self._context_tokens = context_tokens
        self._server: Any = None

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        if self._server is None:
            raise UsageError("the server is not started", fix="use it as a context manager")
        return f"{self._server.listening_address}/v1"

    def __enter__(self) -> LocalModelServer:
        weights = self._weights if self._weights is not None else find_weights("")
        self._server = load(weights, context_tokens=self._context_tokens, tcp=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._server = None
