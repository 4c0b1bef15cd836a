"""Providers with interfaces of their own, by pydantic-ai's direct requests: one request a call, its retries off.

Nothing of the library is imported before the first call. What is sent and read: `pydantic_ai_wire`; what its errors
mean: `pydantic_ai_failures`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from tenuto.adapters.models.bounded_http import make_client
from tenuto.adapters.models.names import refused_name, split_name
from tenuto.adapters.models.prices import list_price
from tenuto.adapters.models.profiles import find_profile
from tenuto.adapters.models.reply_bodies import cut_reply
from tenuto.core.canonical import clean
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider, OnText

__all__ = ["PROVIDERS", "PydanticAIAdapter"]

INSTALL = "pip install 'tenuto[models]'"
PROVIDERS = {
    "anthropic": ("anthropic", "httpx2"),
    "google": ("google.genai", "httpx2"),
    "groq": ("groq", "httpx"),
    "mistral": ("mistralai", "httpx2"),
}
"""Providers by name: the package of their SDK, and the HTTP library that it takes a client of."""


class PydanticAIAdapter(ModelProvider):
    """`PROVIDER:NAME` for one of `PROVIDERS`, at `base_url` where one is given.

    `make_model` replaces the library's model of a name, for tests. Connections belong to one event loop. The bound
    on replies counts what comes over the network; packed replies are refused.
    """

    def __init__(
        self,
        provider: str,
        api_key: str,
        *,
        clock: Clock,
        base_url: str | None = None,
        make_model: Callable[[str], Any] | None = None,
        reply_bytes_max: int = 32 << 20,
    ) -> None:
        self._provider = provider
        self._key = api_key
        self._clock = clock
        self._base_url = base_url
        self._make_model = make_model
        self._reply_bytes_max = reply_bytes_max
        self._client: Any = None
        self._models: dict[str, Any] = {}
        self._profiles = functools.lru_cache(256)(self._find_profile)

    def __repr__(self) -> str:
        return f"PydanticAIAdapter({self._provider!r})"

    def profile(self, model: str) -> ModelProfile:
        """From the data file and the price list; unverified. UsageError where a package is missing."""
        return self._profiles(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """See `ModelProvider.complete`. The deadline covers all of the library's work."""
        try:
            profile = self.profile(request.config.model)
            model = self._model(split_name(request.config.model)[1])
        except UsageError as error:
            raise refused_name(error) from error
        from tenuto.adapters.models.pydantic_ai_failures import failure_of
        from tenuto.adapters.models.pydantic_ai_wire import encode, read

        try:
            encoded = encode(request, profile, model)
            async with asyncio.timeout(deadline_us / 1_000_000):
                response = await _ask(model, encoded, on_text)
        except TimeoutError as error:
            raise ModelCallError(
                f"no answer within {deadline_us // 1_000} ms", kind="timeout", sent=True, retryable=True
            ) from error
        except ModelCallError:
            raise
        except Exception as error:
            raise failure_of(error, secret=self._key, now_us=self._clock.now_us()) from error
        return read(response, request, profile, encoded.dropped)

    async def close(self) -> None:
        """Close the connections. Idempotent; a later call opens new ones."""
        client, self._client = self._client, None
        self._models.clear()
        if client is not None:
            await client.aclose()

    def _find_profile(self, model: str) -> ModelProfile:
        plain = split_name(model)[1]
        if not plain:
            raise UsageError(
                "the model has no name", where=f"model {model!r}", fix=f"write {self._provider}: and a name"
            )
        if self._make_model is None:
            for package in ("pydantic_ai", PROVIDERS[self._provider][0]):
                if not _is_there(package):
                    raise UsageError(f"the package {package} is not installed", where=f"model {model}", fix=INSTALL)
        price = list_price(plain, provider=self._provider, now_us=self._clock.now_us())
        return find_profile(self._provider, plain, name=model, price=price)

    def _model(self, name: str) -> Any:
        if name not in self._models:
            self._models[name] = self._make_model(name) if self._make_model is not None else self._made(name)
        return self._models[name]

    def _made(self, name: str) -> Any:
        from pydantic_ai.models import infer_model
        from pydantic_ai.providers import infer_provider_class

        if not self._key:
            raise UsageError("there is no API key", where=f"model {self._provider}:{name}", fix="set its variable")
        if self._client is None:
            self._client = make_client(PROVIDERS[self._provider][1], bytes_max=self._reply_bytes_max)
        options = {} if self._base_url is None else {"base_url": self._base_url}
        made: Any = infer_provider_class(self._provider)
        return infer_model(
            f"{self._provider}:{name}", lambda _: made(api_key=self._key, http_client=self._client, **options)
        )


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the parent of a package in a namespace
        return False


async def _ask(model: Any, encoded: Any, on_text: OnText | None) -> Any:
    """The library's response. Streamed where somebody watches; a stream without a finish reason was cut."""
    from pydantic_ai.direct import model_request, model_request_stream
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

    options = {"model_settings": encoded.settings, "model_request_parameters": encoded.parameters}
    if on_text is None:
        return await model_request(model, encoded.messages, **options)
    async with model_request_stream(model, encoded.messages, **options) as stream:
        async for event in stream:
            match event:
                case PartStartEvent(part=TextPart(content=text)) if text:
                    on_text(clean(text))
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                    on_text(clean(text))
                case _:
                    pass
        response = stream.get()
    if response.finish_reason is None:
        raise cut_reply("the stream ended before the answer did")
    return response
