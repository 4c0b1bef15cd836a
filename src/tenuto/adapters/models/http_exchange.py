"""One POST to a model server and its answer, with a bound on everything. Knows no format of replies.

httpx is imported when the first call is made. See docs/decisions/0003-openai-adapter-without-the-sdk.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tenuto.adapters.models.openai_failures import failure_of_status, without_secrets
from tenuto.adapters.models.reply_bodies import Sink
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.clock import Clock

if TYPE_CHECKING:
    import httpx

__all__ = ["ModelHttp"]

_ERROR_BYTES_MAX = 64 << 10
_UNPACKED_AT_ONCE = 256 << 10
_REST_BYTES_MAX = 64 << 10
_REST_SECONDS = 0.1
"""How long the end of a connection is waited for when the reply is there, so that it can be used again."""


class ModelHttp:
    """Connections to one server, reused; they belong to one event loop. Neither messages nor reprs hold the key.

    The environment is not read: a proxy and a file of certificates are given here.
    """

    def __init__(
        self, base_url: str, api_key: str, *, clock: Clock, certificates: str | None = None, proxy: str | None = None
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
        self._base_url = base_url.rstrip("/")
        self._key = api_key
        self._clock = clock
        self._certificates = certificates
        self._proxy = proxy
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return "ModelHttp()"

    async def post(
        self, path: str, content: bytes, sink: Sink, *, deadline_us: int, extra: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Send `content` as JSON and feed the body of a 2xx answer to `sink`; the answer's headers.

        ModelCallError for all else. The deadline covers everything from connecting to the last byte.
        """
        headers = {
            "Content-Type": "application/json",
            "Accept": sink.accept,
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            **extra,
        }
        exchange = _Exchange(sink, self._key, self._clock)
        try:
            async with asyncio.timeout(deadline_us / 1_000_000):
                return await exchange.run(self._http(), self._base_url + path, content, headers)
        except TimeoutError as error:
            raise exchange.timed_out(deadline_us) from error

    def failure(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelCallError:
        """What a status and a body that tells of an error mean, without the key."""
        return failure_of_status(status, body, headers, secret=self._key, now_us=self._clock.now_us())

    async def close(self) -> None:
        """Close the connections. Idempotent; a later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            import ssl

            import httpx

            verify: ssl.SSLContext | bool = True
            if self._certificates is not None:
                verify = ssl.create_default_context(cafile=self._certificates)
            elif self._base_url.startswith("http://") and self._proxy is None:
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

    def __init__(self, sink: Sink, secret: str, clock: Clock) -> None:
        self._sink = sink
        self._secret = secret
        self._clock = clock
        self._refusal: tuple[httpx.Response, list[bytes]] | None = None
        self._begun = False
        self.sent = False

    def timed_out(self, deadline_us: int) -> ModelCallError:
        """What a deadline that has passed means: a status that came in time counts, even without its whole body."""
        if self._refusal is not None:
            return self._refused(*self._refusal)
        what = "the answer did not end" if self._begun else "no answer"
        return ModelCallError(
            f"{what} within {deadline_us // 1_000} ms", kind="timeout", sent=self.sent, retryable=True
        )

    async def run(
        self, client: httpx.AsyncClient, url: str, content: bytes, headers: dict[str, str]
    ) -> Mapping[str, str]:
        """The headers of a 2xx answer whose body the sink has; ModelCallError for everything else but timeouts."""
        import httpx

        try:
            async with client.stream(
                "POST", url, content=content, headers=headers, extensions={"trace": self._trace}
            ) as response:
                if response.is_success:
                    await self._body(response)
                    return response.headers
                parts: list[bytes] = []
                self._refusal = (response, parts)
                await self._excerpt(response, parts)
                raise self._refused(response, parts)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._transport_failure(error) from error

    async def _trace(self, event: str, _: dict[str, Any]) -> None:
        if event.endswith(".send_request_headers.started"):
            self.sent = True

    async def _body(self, response: httpx.Response) -> None:
        """Feed the unpacked body to the sink until it has enough; what is read and what it unpacks to is bounded."""
        unpacked = self._unpacking(response)
        bytes_max = self._sink.bytes_max
        read = 0
        stream = response.aiter_raw()
        async for chunk in stream:
            self._begun = True
            read += len(chunk)
            if read > bytes_max:
                raise self._too_large()
            for piece in unpacked.pieces(chunk):
                if unpacked.size > bytes_max:
                    raise self._too_large()
                if self._sink.feed(piece):
                    await _read_rest(stream)
                    return
        if not unpacked.ended:
            raise ModelCallError(
                "the packed answer ends too early", kind="cut_stream", sent=True, retryable=True, status=200
            )

    def _unpacking(self, response: httpx.Response) -> _Unpacking:
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "deflate", ""):
            raise ModelCallError(
                f"the server encodes its answer as {without_secrets(encoding, self._secret)}, unasked",
                kind="bad_response",
                sent=True,
                retryable=False,
                status=response.status_code,
            )
        return _Unpacking(packed=encoding in ("gzip", "deflate"))

    def _too_large(self) -> ModelCallError:
        return ModelCallError(
            f"the answer is larger than {self._sink.bytes_max} bytes",
            kind="too_large",
            sent=True,
            retryable=False,
            status=200,
        )

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


class _Unpacking:
    """Undoes gzip and deflate in small pieces, so that a bomb is met before it has unfolded."""

    def __init__(self, *, packed: bool) -> None:
        self._unpack = zlib.decompressobj(wbits=47) if packed else None
        self.size = 0
        """Bytes unpacked so far."""

    @property
    def ended(self) -> bool:
        return self._unpack is None or self._unpack.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._unpack is None:
            self.size += len(chunk)
            yield chunk
            return
        while chunk:
            try:
                piece = self._unpack.decompress(chunk, _UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise ModelCallError(
                    "the packed answer is broken", kind="bad_response", sent=True, retryable=True, status=200
                ) from error
            chunk = self._unpack.unconsumed_tail
            self.size += len(piece)
            yield piece


async def _read_rest(stream: Any) -> None:
    """Read on for a moment after the reply has ended, as long as the server has not closed its answer yet."""
    import httpx

    size = 0
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_REST_SECONDS):
            async for chunk in stream:
                size += len(chunk)
                if size > _REST_BYTES_MAX:
                    return
