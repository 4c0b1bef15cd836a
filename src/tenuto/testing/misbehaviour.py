"""A model server that does everything wrong: each fault as a behaviour, with what a run has to record of it.

For tests of adapters that speak HTTP. Each request gets its own connection; what the server does after reading it is
a `Behaviour`. `FAULTS` and `STREAM_FAULTS` are the contract: what a failure is called, whether another try may help,
whether the hold is kept, and how long the server asks to wait.

    async with misbehaving(FAULTS["truncated"].behaviour) as base_url:
        ...
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["FAULTS", "STREAM_FAULTS", "Behaviour", "Fault", "misbehaving", "whole"]

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What is done on a connection whose request has been read."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A behaviour, and the failure that an adapter has to make of it, where replies are bounded to 64 KiB."""

    behaviour: Behaviour
    kind: str
    retryable: bool
    kept: bool
    status: int | None = None
    retry_after_ms: int | None = None


@asynccontextmanager
async def misbehaving(behaviour: Behaviour) -> AsyncIterator[str]:
    """The base URL of a server that reads a request, behaves, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await reader.readexactly(int(head.lower().split("content-length: ")[1].split("\r\n")[0]))
            await behaviour(reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


def whole(status: int, body: bytes | Any, *headers: str, length: int | None = None) -> Behaviour:
    """Answer with a status and a body (JSON, or bytes as they are); `length` is what the head claims."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data) if length is None else length}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    return behave


def _raw_bytes(data: bytes) -> Behaviour:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return behave


async def _close_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def _reset(data: bytes) -> Behaviour:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.02)
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return behave


def _endless(begin: bytes, again: bytes, *, pause: float = 0.0) -> Behaviour:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while not writer.is_closing():
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


async def _hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
_ERROR = {"error": {"message": "no", "type": "some_error"}}
_BOMB = gzip.compress(b" " * (8 << 20))

FAULTS: Mapping[str, Fault] = {
    "400": Fault(whole(400, _ERROR), "bad_request", False, False, 400),
    "401": Fault(whole(401, _ERROR), "unauthorized", False, False, 401),
    "403": Fault(whole(403, b""), "unauthorized", False, False, 403),
    "404": Fault(whole(404, _ERROR), "bad_request", False, False, 404),
    "408": Fault(whole(408, _ERROR), "timeout", True, False, 408),
    "413": Fault(whole(413, _ERROR), "too_large", False, False, 413),
    "422": Fault(whole(422, _ERROR), "bad_request", False, False, 422),
    "429": Fault(whole(429, _ERROR), "rate_limited", True, False, 429),
    "429, wait": Fault(whole(429, _ERROR, "Retry-After: 7"), "rate_limited", True, False, 429, 7_000),
    "429, wait a little": Fault(whole(429, _ERROR, "retry-after-ms: 70"), "rate_limited", True, False, 429, 70),
    "429, nonsense": Fault(whole(429, _ERROR, "Retry-After: when ready"), "rate_limited", True, False, 429),
    "429, no money": Fault(
        whole(429, {"error": {"message": "pay", "code": "insufficient_quota"}}),
        "rate_limited",
        False,
        False,
        429,
        None,
    ),
    "too long": Fault(
        whole(400, {"error": {"message": "x", "code": "context_length_exceeded"}}),
        "context_length",
        False,
        False,
        400,
        None,
    ),
    "500": Fault(whole(500, _ERROR), "server", True, True, 500),
    "502": Fault(whole(502, b"<html>bad gateway</html>"), "server", True, True, 502),
    "503, wait": Fault(whole(503, _ERROR, "Retry-After: 3"), "server", True, True, 503, 3_000),
    "529": Fault(whole(529, _ERROR), "server", True, True, 529),
    "redirect": Fault(whole(307, b"", "Location: http://127.0.0.1:9/v1"), "bad_response", False, True, 307),
    "error under 200": Fault(whole(200, _ERROR), "server", True, True, 200),
    "closed without an answer": Fault(_close_at_once, "cut_stream", True, True),
    "reset before the answer": Fault(_reset(b""), "cut_stream", True, True),
    "reset in the body": Fault(_reset(_LENGTH + b'{"choices": ['), "cut_stream", True, True),
    "truncated": Fault(whole(200, b'{"choices": [', length=500), "cut_stream", True, True),
    "truncated stream": Fault(whole(200, b"data: {", length=500), "cut_stream", True, True),
    "no answer": Fault(_hang, "timeout", True, True),
    "a slow body": Fault(_endless(_LENGTH, b" ", pause=0.01), "timeout", True, True),
    "a slow stream": Fault(_endless(_HEAD, b": still here\n\n", pause=0.01), "timeout", True, True),
    "a slow head": Fault(_endless(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", pause=0.01), "timeout", True, True),
    "an endless body": Fault(_endless(_HEAD, b'{"x": "' + b"y" * 60_000), "too_large", False, True, 200),
    "an endless head": Fault(
        _endless(b"HTTP/1.1 200 OK\r\n", b"x: yyyy\r\n" * 500),
        "bad_response",
        True,
        True,
        None,
        None,
    ),
    "a long head": Fault(
        _raw_bytes(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n"),
        "bad_response",
        True,
        True,
        None,
        None,
    ),
    "not HTTP": Fault(_raw_bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "bad_response", True, True),
    "a bomb": Fault(whole(200, _BOMB, "Content-Encoding: gzip"), "too_large", False, True, 200),
    "a broken packing": Fault(whole(200, b"zz", "Content-Encoding: gzip"), "bad_response", True, True, 200),
    "half a packing": Fault(
        whole(200, gzip.compress(b"{}")[:-3], "Content-Encoding: gzip"),
        "cut_stream",
        True,
        True,
        200,
        None,
    ),
    "an unknown packing": Fault(whole(200, b"zz", "Content-Encoding: br"), "bad_response", False, True, 200),
    "invalid JSON": Fault(whole(200, b"{not json}"), "bad_response", True, True, 200),
    "a list": Fault(whole(200, b"[1]"), "bad_response", True, True, 200),
    "nested too deeply": Fault(whole(200, b'{"a":' + b"[" * 50_000), "bad_response", True, True, 200),
    "no choices": Fault(whole(200, {"choices": [], "output": []}), "bad_response", True, True, 200),
    "an empty object": Fault(whole(200, {}), "bad_response", True, True, 200),
    "choices of nothing": Fault(whole(200, {"choices": [None], "output": [None]}), "bad_response", True, True, 200),
}
STREAM_FAULTS: Mapping[str, Fault] = {
    "nothing": Fault(whole(200, b""), "cut_stream", True, True, 200),
    "only comments": Fault(whole(200, b": hello\n\n" * 9), "cut_stream", True, True, 200),
    "an event that is no JSON": Fault(whole(200, b"data: {not json\n\n"), "bad_response", True, True, 200),
    "an event that is no object": Fault(whole(200, b"data: [1]\n\n"), "bad_response", True, True, 200),
    "an error on the way": Fault(
        whole(200, b'data: {"error": {"message": "overloaded"}}\n\n'),
        "server",
        True,
        True,
        200,
        None,
    ),
    "a line without end": Fault(_endless(_HEAD, b"data: " + b"y" * 60_000), "too_large", False, True, 200),
    "an event without end": Fault(_endless(_HEAD, b"data: " + b"y" * 9_000 + b"\n"), "too_large", False, True, 200),
    "events without end": Fault(_endless(_HEAD, b'data: {"type": "x"}\n\n' * 900), "too_large", False, True, 200),
}
