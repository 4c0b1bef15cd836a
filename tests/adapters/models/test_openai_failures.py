"""Every failure of a server, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import subprocess
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.errors import ModelCallError, UsageError
from tenuto.testing.clock import ManualClock

KEY = "sk-very-secret-key-123456"
DEADLINE_US = 10_000_000
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(status: int, body: bytes | Any, *headers: str, length: int | None = None) -> Behaviour:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data) if length is None else length}", *headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + data)
        await writer.drain()

    return behave


def completion(message: Any = None, *, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {
        "model": "m-1",
        "choices": [{"index": 0, "message": message or {"content": "hi"}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        **more,
    }


def calling(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"content": None, "tool_calls": list(calls)}


def call(identity: Any, arguments: Any, name: Any = "read") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


async def failing(
    ask: Any, serving: Any, behaviour: Behaviour, *, deadline_us: int = DEADLINE_US, **options: Any
) -> ModelCallError:
    """The failure of one call; checks that one request was made and that nobody was told the key."""
    async with serving(behaviour) as server:
        adapter = OpenAIAdapter(server.url, KEY, clock=ManualClock(), **options)
        try:
            with pytest.raises(ModelCallError) as caught:
                await adapter.complete(ask("openai:m", "hello"), deadline_us=deadline_us)
        finally:
            await adapter.close()
        assert len(server.bodies) == 1
    assert KEY not in f"{caught.value} {caught.value!r} {adapter!r} {caught.value.__cause__!r}"
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind", "sent", "retryable"),
    [
        (400, {"error": {"message": "bad"}}, "bad_request", False, False),
        (400, {"error": {"message": "long", "code": "context_length_exceeded"}}, "context_length", False, False),
        (400, {"error": {"message": "x", "type": "exceed_context_size_error"}}, "context_length", False, False),
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "unauthorized", False, False),
        (403, b"no", "unauthorized", False, False),
        (404, {"error": "no such model"}, "bad_request", False, False),
        (408, b"", "timeout", False, True),
        (409, b"", "rate_limited", False, True),
        (413, b"", "too_large", False, False),
        (422, {"detail": [{"loc": ["body"]}]}, "bad_request", False, False),
        (429, {"error": {"message": "slow down"}}, "rate_limited", False, True),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, "rate_limited", False, False),
        (500, b"\xff\xfe", "server", True, True),
        (501, b"", "server", True, False),
        (503, b'{"error": ' + b"[" * 9_000, "server", True, True),
        (302, b"", "bad_response", True, False),
    ],
)
async def test_statuses(
    ask: Any, serving: Any, status: int, body: Any, kind: str, sent: bool, retryable: bool
) -> None:
    error = await failing(ask, serving, answering(status, body, "Location: http://127.0.0.1:9/"))
    assert (error.status, error.kind, error.sent, error.retryable) == (status, kind, sent, retryable)
    assert f"the server answered {status}" in error.what
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("Retry-After: 2", 2_000),
        ("Retry-After: 0.5", 500),
        ("Retry-After: 0", 0),
        ("Retry-After: -1", None),
        ("Retry-After: nan", None),
        ("Retry-After: soon", None),
        ("Retry-After: 99999999999999999999", 86_400_000),
        ("Retry-After: Thu, 01 Jan 1970 00:01:10 GMT", 10_000),
        ("Retry-After: Thu, 01 Jan 1970 00:00:10 GMT", 0),
        ("retry-after-ms: 1500", 1_500),
    ],
)
async def test_retry_after(ask: Any, serving: Any, header: str | None, expected: int | None) -> None:
    async with serving(answering(429, {}, *([header] if header else []))) as server:
        adapter = OpenAIAdapter(server.url, KEY, clock=ManualClock(60_000_000))
        with pytest.raises(ModelCallError) as caught:
            await adapter.complete(ask("openai:m", "x"), deadline_us=DEADLINE_US)
        await adapter.close()
    assert caught.value.retry_after_ms == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[1]",
        b"null",
        b"[" * 100_000,
        b'{"choices": ' + b"9" * 5_000 + b"}",
        {},
        {"choices": []},
        {"choices": {}},
        {"choices": [3]},
        {"choices": [{}]},
        {"choices": [{"message": "x", "finish_reason": "stop"}]},
        completion({"content": 3}),
        completion({"content": [{"type": "text", "text": 3}]}),
        completion(finish=None),
        completion(finish="paused"),
        completion(finish={"a": 1}),
        completion(finish="tool_calls"),
        completion({"tool_calls": {}}, finish="tool_calls"),
        completion(calling({"id": "a"}), finish="tool_calls"),
        completion(calling(call("a", "{}", name=None)), finish="tool_calls"),
        completion(calling(call(7, "{}")), finish="tool_calls"),
        completion(calling(call("a", "{}"), call("a", "{}")), finish="tool_calls"),
        completion(calling(call("a", '{"path": ')), finish="tool_calls"),
        completion(calling(call("a", "[1]")), finish="tool_calls"),
        completion(calling(call("a", 3)), finish="tool_calls"),
        completion(calling(call("a", "[" * 50_000)), finish="tool_calls"),
    ],
    ids=repr,
)
async def test_answers_that_cannot_be_used(ask: Any, serving: Any, body: Any) -> None:
    error = await failing(ask, serving, answering(200, body))
    assert (error.kind, error.sent, error.retryable) == ("bad_response", True, True)


async def test_an_error_with_status_200_is_a_failure_of_the_server(ask: Any, serving: Any) -> None:
    error = await failing(ask, serving, answering(200, {"error": {"message": "overloaded"}}))
    assert (error.kind, error.sent, error.status, "overloaded" in error.what) == ("server", True, 200, True)


async def test_a_truncated_body_is_a_cut_stream(ask: Any, serving: Any) -> None:
    error = await failing(ask, serving, answering(200, b'{"choices": [', length=500))
    assert (error.kind, error.sent, error.retryable) == ("cut_stream", True, True)


async def test_a_connection_closed_without_an_answer_is_a_cut_stream(ask: Any, serving: Any) -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    error = await failing(ask, serving, behave)
    assert (error.kind, error.sent, error.retryable) == ("cut_stream", True, True)


async def test_a_reset_connection_is_a_cut_stream(ask: Any, serving: Any) -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    error = await failing(ask, serving, behave)
    assert (error.kind, error.sent) == ("cut_stream", True)


async def test_what_is_not_http_is_a_bad_response(ask: Any, serving: Any) -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()

    error = await failing(ask, serving, behave)
    assert (error.kind, error.sent) == ("bad_response", True)


async def test_an_endless_body_is_refused_at_the_cap(ask: Any, serving: Any) -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()

    error = await failing(ask, serving, behave, reply_bytes_max=1 << 20)
    assert (error.kind, error.sent, error.retryable) == ("too_large", True, False)


async def test_a_bomb_is_refused_at_the_cap(ask: Any, serving: Any) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < 100_000
    error = await failing(ask, serving, answering(200, bomb, "Content-Encoding: gzip"), reply_bytes_max=1 << 20)
    assert (error.kind, error.sent) == ("too_large", True)


@pytest.mark.parametrize(
    ("body", "encoding", "kind"),
    [
        (gzip.compress(json.dumps(completion()).encode())[:-9], "gzip", "cut_stream"),
        (b"not packed", "gzip", "bad_response"),
        (b"x", "br", "bad_response"),
    ],
)
async def test_packed_answers_that_are_broken(ask: Any, serving: Any, body: bytes, encoding: str, kind: str) -> None:
    error = await failing(ask, serving, answering(200, body, f"Content-Encoding: {encoding}"))
    assert (error.kind, error.sent) == (kind, True)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_packed_answers_are_read(ask: Any, serving: Any, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = pack(json.dumps(completion()).encode())
    async with serving(answering(200, body, f"Content-Encoding: {encoding}")) as server:
        adapter = OpenAIAdapter(server.url, clock=ManualClock())
        assert (await adapter.complete(ask("openai:m", "x"), deadline_us=DEADLINE_US)).text == "hi"
        await adapter.close()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"], ids=["head", "body"])
async def test_the_deadline_holds_though_bytes_keep_dribbling(ask: Any, serving: Any, head: bytes) -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.01)

    error = await failing(ask, serving, behave, deadline_us=150_000)
    assert (error.kind, error.sent, error.retryable) == ("timeout", True, True)


async def test_a_status_counts_though_its_body_never_ends(ask: Any, serving: Any) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 429 X\r\nContent-Length: 10000\r\n\r\nslow")
        await writer.drain()
        await reader.read()

    error = await failing(ask, serving, behave, deadline_us=150_000)
    assert (error.kind, error.sent, error.status) == ("rate_limited", False, 429)


async def test_cancelling_passes_through(ask: Any, serving: Any) -> None:
    arrived = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()

    async with serving(behave) as server:
        adapter = OpenAIAdapter(server.url, clock=ManualClock())
        task = asyncio.create_task(adapter.complete(ask("openai:m", "x"), deadline_us=DEADLINE_US))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await adapter.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/v1", "http://no-such-host.invalid/v1"], ids=["refused", "dns"]
)
async def test_without_a_connection_nothing_was_sent(ask: Any, url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        adapter = OpenAIAdapter(url.format(port=taken.getsockname()[1]), KEY, clock=ManualClock())
        with pytest.raises(ModelCallError) as caught:
            await adapter.complete(ask("openai:m", "x"), deadline_us=DEADLINE_US)
        await adapter.close()
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("refused_connection", False, True)


async def test_a_connection_that_is_never_made_was_not_sent_when_the_deadline_passes(ask: Any) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        held = [socket.socket() for _ in range(8)]
        try:
            for each in held:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            adapter = OpenAIAdapter(f"http://127.0.0.1:{port}/v1", clock=ManualClock())
            with pytest.raises(ModelCallError) as caught:
                await adapter.complete(ask("openai:m", "x"), deadline_us=150_000)
            await adapter.close()
        finally:
            for each in held:
                each.close()
    assert (caught.value.kind, caught.value.sent) == ("timeout", False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost that nobody signed."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    extra = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path) + ".key", "-out", str(path)]
    try:
        subprocess.run([*command.split(), *extra], check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return path


async def test_certificates_are_checked(ask: Any, serving: Any, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(certificate) + ".key")
    async with serving(answering(200, completion()), context) as server:
        strict = OpenAIAdapter(server.url, KEY, clock=ManualClock())
        with pytest.raises(ModelCallError) as caught:
            await strict.complete(ask("openai:m", "x"), deadline_us=DEADLINE_US)
        assert server.bodies == []
        trusting = OpenAIAdapter(server.url, KEY, clock=ManualClock(), certificates=str(certificate))
        assert (await trusting.complete(ask("openai:m", "x"), deadline_us=DEADLINE_US)).text == "hi"
        await strict.close()
        await trusting.close()
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("refused_connection", False, False)


@pytest.mark.parametrize(
    "url", ["", "ftp://x/v1", "http://", "http://h:99999/v1", "http://h/v1?key=1", "http://h/ v1", "h/v1"]
)
def test_base_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_BASE_URL: the base URL is not usable"):
        OpenAIAdapter(url, clock=ManualClock())


@pytest.mark.parametrize("key", ["sk a", "sk\n", "schlüssel", "\0"])
def test_keys_that_cannot_be_used_are_not_shown(key: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
        OpenAIAdapter("http://h/v1", key, clock=ManualClock())
    assert key not in str(caught.value)
