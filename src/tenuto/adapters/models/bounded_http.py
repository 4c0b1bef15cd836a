"""HTTP clients for the SDKs of providers, with a bound on what a reply may hold."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any

__all__ = ["RefusedReplyError", "make_client"]

_CONNECTIONS_MAX = 100


class RefusedReplyError(Exception):
    """A reply that is too large, or packed though that was not asked for. `kind` as in ModelCallError."""

    def __init__(self, what: str, kind: str) -> None:
        super().__init__(what)
        self.kind = kind


def make_client(library: str, *, bytes_max: int) -> Any:
    """An `AsyncClient` of `httpx` or `httpx2`: no redirects, no deadline of its own, replies of at most `bytes_max`.

    Proxies and certificates are those that the library finds in the environment.
    """
    http = importlib.import_module(library)

    class Bounded(http.AsyncByteStream):  # type: ignore[misc,name-defined]  # of whichever library
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for chunk in self._stream:
                read += len(chunk)
                if read > bytes_max:
                    raise RefusedReplyError(f"the answer is larger than {bytes_max} bytes", "too_large")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def bound(response: Any) -> None:
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise RefusedReplyError("the answer is packed, unasked", "bad_response")
        response.stream = Bounded(response.stream)

    return http.AsyncClient(
        event_hooks={"response": [bound]},
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        limits=http.Limits(max_connections=None, max_keepalive_connections=_CONNECTIONS_MAX),
        timeout=None,
    )
