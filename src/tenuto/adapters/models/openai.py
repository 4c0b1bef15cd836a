"""Any server that speaks OpenAI's chat completions, by one POST a call and nothing behind it.

No SDK: see docs/decisions/0003-openai-adapter-without-the-sdk.md. httpx is imported when the first call is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tenuto.adapters.models.names import refused_name, split_name
from tenuto.adapters.models.openai_failures import failure_of_status, without_secrets
from tenuto.adapters.models.openai_wire import decode_body, encode_request, read_reply
from tenuto.adapters.models.prices import list_price
from tenuto.adapters.models.profiles import find_profile
from tenuto.core.canonical import canonical
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider

if TYPE_CHECKING:
    import httpx

__all__ = ["OpenAIAdapter"]

_ERROR_BYTES_MAX = 64 << 10


class OpenAIAdapter(ModelProvider):
    """`openai:NAME` at `base_url` (for example `https://api.openai.com/v1`).

    Connections are reused and belong to one event loop. The environment is not read: a proxy and a file of
    certificates are given here. `idempotency_header` names a header that carries the request's key, for servers
    that know one. `clock` dates `Retry-After` and prices. Neither messages nor reprs hold the key.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        clock: Clock,
        certificates: str | None = None,
        idempotency_header: str | None = None,
        proxy: str | None = None,
        reply_bytes_max: int = 8 << 20,
    ) -> None:
        """UsageError for a URL or a key that no request can carry."""
        if not _is_usable(base_url):
            raise UsageError(
                "the base URL is not usable",
                where="OPENAI_BASE_URL",
                fix="write http(s)://HOST[:PORT]/PATH, for example https://api.openai.com/v1",
            )
        if not api_key.isascii() or not (api_key.isprintable() or not api_key) or " " in api_key:
            raise UsageError(
                "the API key holds characters that no header can carry",
                where="OPENAI_API_KEY",
                fix="copy it again, without spaces and line ends",
            )
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._key = api_key
        self._clock = clock
        self._certificates = certificates
        self._idempotency_header = idempotency_header
        self._proxy = proxy
        self._reply_bytes_max = reply_bytes_max
        self._client: httpx.AsyncClient | None = None
        self._profiles = functools.lru_cache(256)(self._find_profile)

    def __repr__(self) -> str:
        return "OpenAIAdapter()"

    def profile(self, model: str) -> ModelProfile:
        """From the data file and the price list; unverified unless somebody tried it."""
        return self._profiles(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int) -> ModelReply:
        """See `ModelProvider.complete`. The deadline covers all from connecting to the last byte."""
        try:
            model = split_name(request.config.model)[1]
            profile = self.profile(request.config.model)
        except UsageError as error:
            raise refused_name(error) from error
        body, dropped = encode_request(request, profile, model)
        exchange = _Exchange(self._reply_bytes_max, self._key, self._clock)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        if self._idempotency_header is not None:
            headers[self._idempotency_header] = request.key
        try:
            async with asyncio.timeout(deadline_us / 1_000_000):
                data, served = await exchange.run(self._http(), self._url, canonical(body), headers)
        except TimeoutError as error:
            raise exchange.timed_out(deadline_us) from error
        reply = decode_body(data)
        if "error" in reply and "choices" not in reply:
            failure = failure_of_status(500, data, served, secret=self._key, now_us=self._clock.now_us())
            failure.status = 200
            raise failure
        return read_reply(reply, request, profile, dropped=dropped, headers=served)

    async def close(self) -> None:
        """Close the connections. Idempotent; a later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _find_profile(self, model: str) -> ModelProfile:
        plain = split_name(model)[1]
        if not plain:
            raise UsageError("the model has no name", where=f"model {model!r}", fix="for example openai:gpt-5-mini")
        price = list_price(plain, provider="openai", now_us=self._clock.now_us())
        return find_profile("openai", plain, name=model, price=price)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            import ssl

            import httpx

            verify: ssl.SSLContext | bool = True
            if self._certificates is not None:
                verify = ssl.create_default_context(cafile=self._certificates)
            elif self._url.startswith("http://") and self._proxy is None:
                verify = False  # no TLS is spoken on plain HTTP, and loading the certificates takes 30 ms
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
                proxy=self._proxy,
                timeout=None,
                trust_env=False,
                verify=verify,
            )
        return self._client


def _is_usable(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not any(c in base_url for c in " ?#\n\r\t")
        )
    except ValueError:
        return False


class _Exchange:
    """One POST and its answer. `sent` becomes True as soon as the first byte of the request may have left."""

    def __init__(self, bytes_max: int, secret: str, clock: Clock) -> None:
        self._bytes_max = bytes_max
        self._secret = secret
        self._clock = clock
        self._refusal: tuple[httpx.Response, list[bytes]] | None = None
        self.sent = False

    def timed_out(self, deadline_us: int) -> ModelCallError:
        """What a deadline that has passed means: a status that came in time counts, even without its whole body."""
        if self._refusal is not None:
            return self._refused(*self._refusal)
        return ModelCallError(
            f"no answer within {deadline_us // 1_000} ms", kind="timeout", sent=self.sent, retryable=True
        )

    async def run(
        self, client: httpx.AsyncClient, url: str, content: bytes, headers: dict[str, str]
    ) -> tuple[bytes, httpx.Headers]:
        """Body and headers of a 2xx answer; ModelCallError for everything else but timeouts."""
        import httpx

        try:
            async with client.stream(
                "POST", url, content=content, headers=headers, extensions={"trace": self._trace}
            ) as response:
                if response.is_success:
                    return await self._body(response, self._bytes_max), response.headers
                parts: list[bytes] = []
                self._refusal = (response, parts)
                await self._excerpt(response, parts)
                raise self._refused(response, parts)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._transport_failure(error) from error

    async def _trace(self, event: str, _: dict[str, Any]) -> None:
        if event.endswith(".send_request_headers.started"):
            self.sent = True

    async def _body(self, response: httpx.Response, bytes_max: int) -> bytes:
        """The decoded body, with a bound on what is read and on what it unpacks to."""
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "deflate", ""):
            raise ModelCallError(
                f"the server encodes its answer as {without_secrets(encoding, self._secret)}, unasked",
                kind="bad_response",
                sent=True,
                retryable=False,
                status=response.status_code,
            )
        unpack = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
        parts = []
        size = read = 0
        async for chunk in response.aiter_raw():
            read += len(chunk)
            try:
                part = chunk if unpack is None else unpack.decompress(chunk, bytes_max - size + 1)
            except zlib.error as error:
                raise ModelCallError(
                    "the packed answer is broken", kind="bad_response", sent=True, retryable=True, status=200
                ) from error
            size += len(part)
            if size > bytes_max or read > bytes_max:
                raise ModelCallError(
                    f"the answer is larger than {bytes_max} bytes",
                    kind="too_large",
                    sent=True,
                    retryable=False,
                    status=response.status_code,
                )
            parts.append(part)
        if unpack is not None and not unpack.eof:
            raise ModelCallError(
                "the packed answer ends too early", kind="cut_stream", sent=True, retryable=True, status=200
            )
        return b"".join(parts)

    def _refused(self, response: httpx.Response, parts: list[bytes]) -> ModelCallError:
        body = b"".join(parts)[:_ERROR_BYTES_MAX]
        now_us = self._clock.now_us()
        return failure_of_status(response.status_code, body, response.headers, secret=self._secret, now_us=now_us)

    async def _excerpt(self, response: httpx.Response, parts: list[bytes]) -> None:
        """Read the beginning of an error's body into `parts`; the status counts also where the body is broken."""
        import httpx

        size = 0
        with contextlib.suppress(httpx.HTTPError):
            async for chunk in response.aiter_raw():
                parts.append(chunk)
                size += len(chunk)
                if size > _ERROR_BYTES_MAX:
                    break

    def _transport_failure(self, error: Exception) -> ModelCallError:
        import ssl

        import httpx

        detail = without_secrets(str(error), self._secret) or type(error).__name__
        if isinstance(error, (httpx.ConnectError, httpx.ProxyError)) and not self.sent:
            untrusted = isinstance(error.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE" in detail
            return ModelCallError(
                f"no connection to the server: {detail}",
                kind="refused_connection",
                sent=False,
                retryable=not untrusted,
                fix="give the certificate file that signs it" if untrusted else "",
            )
        if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)):
            return ModelCallError(
                f"the request cannot be sent: {detail}", kind="bad_request", sent=self.sent, retryable=False
            )
        strange = isinstance(error, httpx.RemoteProtocolError) and "without" not in detail
        return ModelCallError(
            f"the server does not speak HTTP: {detail}" if strange else f"the connection was cut: {detail}",
            kind="bad_response" if strange else "cut_stream",
            sent=self.sent,
            retryable=True,
        )
