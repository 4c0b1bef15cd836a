"""Builders that the tests of models share."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest

from tenuto.core.canonical import canonical, digest_of
from tenuto.core.models import Message, ModelConfig, ModelRequest, ToolSchema

Ask = Callable[..., ModelRequest]


def build_request(
    model: str,
    *messages: Message | str,
    call: str = "r1/fix/1/0",
    max_tokens: int = 64,
    schema: Any = None,
    seed: int = 7,
    tools: tuple[tuple[str, Any], ...] = (),
    try_number: int = 1,
) -> ModelRequest:
    asked = tuple(Message(role="user", text=m) if isinstance(m, str) else m for m in messages)
    offered = tuple(
        ToolSchema(description=f"the tool {name}", name=name, parameters=msgspec.Raw(canonical(parameters)))
        for name, parameters in tools
    )
    identity = [model, max_tokens, seed, schema, [[m.role, m.text, len(m.tool_calls)] for m in asked], list(tools)]
    return ModelRequest(
        call=call,
        config=ModelConfig(max_tokens=max_tokens, model=model, seed=seed),
        fingerprint=digest_of(identity),
        key=digest_of([call]),
        messages=asked,
        output_schema=None if schema is None else msgspec.Raw(canonical(schema)),
        tools=offered,
        try_number=try_number,
    )


@pytest.fixture
def ask() -> Ask:
    return build_request


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads one request, then does what the test says; counts the requests that came."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.heads: list[str] = []
        self.bodies: list[Any] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            self.heads.append(head)
            self.bodies.append(json.loads(await reader.readexactly(length)))
            await self.behaviour(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(behaviour)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if context else 'http'}://{'localhost' if context else '127.0.0.1'}:{port}/v1"
    try:
        yield server
    finally:
        listener.close()


@pytest.fixture(name="serving")
def _serving() -> Callable[..., AbstractAsyncContextManager[Server]]:
    return serving
