"""Any server that speaks one of OpenAI's interfaces, by one POST a call and nothing behind it.

No SDK: see docs/decisions/0003-openai-adapter-without-the-sdk.md. What is sent and read is an `Interface`'s matter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tenuto.adapters.models.http_exchange import ModelHttp
from tenuto.adapters.models.names import refused_name, split_name
from tenuto.adapters.models.openai_stream import CHAT_STREAM, ChatStream
from tenuto.adapters.models.openai_wire import encode_request, read_reply
from tenuto.adapters.models.prices import list_price
from tenuto.adapters.models.profiles import find_profile
from tenuto.adapters.models.reply_bodies import ReplyStream, Sink, StreamedBody, WholeBody
from tenuto.core.canonical import canonical
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider, OnText

__all__ = ["CHAT_COMPLETIONS", "Interface", "OpenAIAdapter"]

_STREAM_REFUSALS = (400, 404, 415, 422)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """One of the interfaces: where it is, and how requests and replies are written there."""

    provider: str
    """What names of models begin with; profiles are found under it."""
    path: str
    encode: Callable[[ModelRequest, ModelProfile, str], tuple[dict[str, Any], tuple[str, ...]]]
    """The body for a request, and the parameters that the profile makes us drop."""
    stream: Mapping[str, Any]
    """What asks for a stream, beside the rest of the body."""
    pieces: Callable[[OnText, int], ReplyStream]
    """What puts a stream together; the number bounds the bytes of the answer."""
    tells_error: Callable[[Mapping[str, Any]], bool]
    """Whether a body that came under status 200 is an error all the same."""
    read: Callable[[dict[str, Any], ModelRequest, ModelProfile, tuple[str, ...], Mapping[str, str]], ModelReply]
    """The reply in a body; dropped parameters and headers are noted in it."""


CHAT_COMPLETIONS = Interface(
    provider="openai",
    path="/chat/completions",
    encode=encode_request,
    stream=CHAT_STREAM,
    pieces=ChatStream,
    tells_error=lambda body: "error" in body and "choices" not in body,
    read=read_reply,
)


class OpenAIAdapter(ModelProvider):
    """`openai:NAME` at `base_url` (for example `https://api.openai.com/v1`), or another interface there.

    Connections are reused and belong to one event loop. The environment is not read: a proxy and a file of
    certificates are given here. `idempotency_header` names a header that carries the request's key, for servers
    that know one. `profiles` says by full name which entry of the table of profiles holds for a model. `clock` dates
    `Retry-After` and prices. Neither messages nor reprs hold the key.

    Where somebody watches, the answer is asked for as a stream. A server that refuses just this is not asked again
    for streams by this adapter; the refused try is a failure that another try can mend.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        clock: Clock,
        certificates: str | None = None,
        idempotency_header: str | None = None,
        interface: Interface = CHAT_COMPLETIONS,
        profiles: Mapping[str, str] | None = None,
        proxy: str | None = None,
        reply_bytes_max: int = 8 << 20,
    ) -> None:
        """UsageError for a URL or a key that no request can carry."""
        self._http = ModelHttp(base_url, api_key, clock=clock, certificates=certificates, proxy=proxy)
        self._clock = clock
        self._idempotency_header = idempotency_header
        self._interface = interface
        self._entries = dict(profiles or {})
        self._reply_bytes_max = reply_bytes_max
        self._streams = True
        self._profiles = functools.lru_cache(256)(self._find_profile)

    def __repr__(self) -> str:
        return "OpenAIAdapter()"

    def profile(self, model: str) -> ModelProfile:
        """From the data file and the price list; unverified unless somebody tried it."""
        return self._profiles(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """See `ModelProvider.complete`. The deadline covers all from connecting to the last byte."""
        try:
            model = split_name(request.config.model)[1]
            profile = self.profile(request.config.model)
        except UsageError as error:
            raise refused_name(error) from error
        interface = self._interface
        body, dropped = interface.encode(request, profile, model)
        sink: Sink = WholeBody(self._reply_bytes_max)
        streamed = on_text is not None and self._streams
        if on_text is not None and streamed:
            body |= interface.stream
            sink = StreamedBody(interface.pieces(on_text, self._reply_bytes_max), self._reply_bytes_max)
        extra = {} if self._idempotency_header is None else {self._idempotency_header: request.key}
        try:
            served = await self._http.post(
                interface.path, canonical(body), sink, deadline_us=deadline_us, extra=extra
            )
        except ModelCallError as error:
            if streamed and error.status in _STREAM_REFUSALS and "stream" in error.what.lower():
                self._streams = False
                error.retryable = True
            raise
        reply = sink.body()
        if interface.tells_error(reply):
            failure = self._http.failure(500, canonical(reply), served)
            failure.status = 200
            raise failure
        return interface.read(reply, request, profile, dropped, served)

    async def close(self) -> None:
        """Close the connections. Idempotent; a later call opens new ones."""
        await self._http.close()

    def _find_profile(self, model: str) -> ModelProfile:
        provider = self._interface.provider
        plain = split_name(model)[1]
        if not plain:
            raise UsageError(
                "the model has no name", where=f"model {model!r}", fix=f"for example {provider}:gpt-5-mini"
            )
        price = list_price(plain, provider="openai", now_us=self._clock.now_us())
        return find_profile(provider, plain, name=model, price=price, entry=self._entries.get(model))
