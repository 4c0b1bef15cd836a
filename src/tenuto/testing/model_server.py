"""A fake OpenAI-compatible server that counts by itself what it was asked, for tests of budgets and crashes.

    async with CountingModelServer(faults=("429@1", "cut%10")) as server:
        adapter = OpenAIAdapter(server.base_url, clock=clock)
        ...
        assert ledger_tokens >= server.counts.input_tokens + server.counts.output_tokens

As a process of its own, which survives the engine under test and ends after `--seconds-max`:

    python -m tenuto.testing.model_server --port 0 --fault 500@3        # prints one JSON line with its address

It speaks chat completions and responses, streamed where that is asked for. Answers are those of `LocalMockAdapter`
for the content of the request, so the options of `mock:` names hold here too (`openai:m?tools=2`). Faults:
`KIND[:MS]@N[,N...]` (the N-th requests, from 1), `KIND[:MS]%N` (every N-th), `KIND[:MS]~TEXT` (the first time that
each request with TEXT in its body comes).

| kind | what happens | counted |
| --- | --- | --- |
| `429` | refused, `Retry-After: 0` or MS | no |
| `400` | refused | no |
| `500` | fails | yes |
| `cut` | half of the answer, then the connection is closed | yes |
| `hang` | no answer; the connection is held until the client leaves or the server closes | yes |
| `slow` | answers after MS | yes |
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.core.canonical import canonical, clean, digest
from tenuto.core.models import ModelReply, ModelRequest
from tenuto.errors import ModelCallError, UsageError
from tenuto.testing.model_server_formats import INTERFACES, Answer, Interface

__all__ = ["CountedCall", "CountingModelServer", "Counts", "main"]

_BODY_MAX = 32 << 20
_HEAD_MAX = 64 << 10
_FAULT = re.compile(r"(429|400|500|cut|hang|slow)(?::(\d{1,6}))?([@%~])(.+)", re.DOTALL)


@dataclass(slots=True)
class Counts:
    """What the server has seen. `input_tokens` and `output_tokens` are what a provider would bill.

    `calls` counts every request, `counted` those that are billed, `answered` those whose answer was written
    whole, `distinct` the different bodies among the billed ones.
    """

    answered: int = 0
    calls: int = 0
    counted: int = 0
    distinct: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    refused: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedCall:
    """One request that is billed: `number` counts all requests from 1, `body` is the digest of what was sent.

    `seed` is the sampling seed that was asked for; an engine derives it from a call's position, so it names the call.
    """

    body: str
    fault: str
    input_tokens: int
    number: int
    output_tokens: int
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: str
    after_ms: int
    numbers: frozenset[int]
    every: int
    text: bytes | None

    @classmethod
    def parse(cls, text: str) -> _Fault:
        found = _FAULT.fullmatch(text)
        if found is None:
            raise UsageError(
                "not a fault", where=f"fault {text!r}", fix="for example 429@1, cut%10, slow:50@2,3 or 500~TEXT"
            )
        kind, after_ms, mark, rest = found.groups()
        try:
            numbers = frozenset(int(n) for n in rest.split(",")) if mark == "@" else frozenset()
            every = int(rest) if mark == "%" else 0
        except ValueError as error:
            raise UsageError("a number is expected", where=f"fault {text!r}", fix="for example 429@1,2") from error
        return cls(kind, int(after_ms or 0), numbers, every, rest.encode() if mark == "~" else None)

    def holds(self, number: int, body: bytes, *, fresh: bool) -> bool:
        """Whether it strikes the `number`-th request; `fresh`: this body was not seen before."""
        if self.text is not None:
            return fresh and self.text in body
        return number in self.numbers or (self.every > 0 and number % self.every == 0)


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    error: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class CountingModelServer:
    """The server, on 127.0.0.1. Bounded: after `calls_max` requests it answers 503 to everything.

    With `drifts` an answer changes where others are on their way, as on a server that computes them together.
    Counting happens before any answer is written, as a provider bills: whatever the client sees, the count holds.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        faults: Iterable[str] = (),
        calls_max: int = 100_000,
        port: int = 0,
        drifts: bool = False,
    ) -> None:
        self.counted: list[CountedCall] = []
        """What each billed request cost, in the order of counting."""
        self.counts = Counts()
        self._calls_max = calls_max
        self._drifts = drifts
        self._serving = 0
        self._news = asyncio.Condition()
        self._faults = tuple(_Fault.parse(fault) for fault in faults)
        self._model = LocalMockAdapter(seed)
        self._open: set[asyncio.Task[None]] = set()
        self._port = port
        self._seen: set[str] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`; below it `/counts` shows the totals and `/calls` a list of `CountedCall`."""
        if self._server is None:
            raise UsageError("the server is not started", fix="await start() first")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.address}/v1"

    async def start(self) -> CountingModelServer:
        """Listen. Requests are served by the running event loop."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=_HEAD_MAX)
        return self

    async def wait_counted(self, calls: int) -> None:
        """Return when at least `calls` requests were counted: the moment to kill whoever asked."""
        async with self._news:
            await self._news.wait_for(lambda: self.counts.counted >= calls)

    async def close(self) -> None:
        """Stop listening and cut open connections. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def __aenter__(self) -> CountingModelServer:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client left, or the server is closing: nobody is there to be told
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = (head[0] + "  ").split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = int(headers.get("content-length", "0"))
        if length > _BODY_MAX:
            await _answer(writer, 413, {"error": {"message": "the request is too large"}})
            return False
        body = await reader.readexactly(length)
        if method == "GET":
            await _answer(writer, *self._shown(path))
            return True
        interface = INTERFACES.get(path)
        if interface is None:
            await _answer(writer, 404, {"error": {"message": f"no such path: {path}"}})
            return True
        self._serving += 1
        try:
            return await self._complete(interface, body, reader, writer)
        finally:
            self._serving -= 1

    def _shown(self, path: str) -> tuple[int, dict[str, Any]]:
        match path:
            case "/counts":
                return 200, asdict(self.counts)
            case "/calls":
                return 200, {"calls": [asdict(call) for call in self.counted]}
            case "/health":
                return 200, {"status": "ok"}
            case _:
                return 404, {"error": {"message": f"no such path: {path}"}}

    async def _complete(
        self, interface: Interface, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        counts = self.counts
        counts.calls += 1
        number = counts.calls  # others come while this one is served
        identity = digest(body)
        fresh = identity not in self._seen
        self._seen.add(identity)
        fault = next((f for f in self._faults if f.holds(number, body, fresh=fresh)), None)
        decided = await self._decide(interface, body, fault)
        if isinstance(decided, _Refusal):
            counts.refused += 1
            await _answer(writer, decided.status, {"error": decided.error}, decided.headers)
            return True
        asked, request, reply = decided
        counts.counted += 1
        counts.distinct += fresh
        counts.input_tokens += reply.usage.input_tokens
        counts.output_tokens += reply.usage.output_tokens
        self.counted.append(
            CountedCall(
                body=identity,
                fault="" if fault is None else fault.kind,
                input_tokens=reply.usage.input_tokens,
                number=number,
                output_tokens=reply.usage.output_tokens,
                seed=asked.get("seed"),
            )
        )
        async with self._news:
            self._news.notify_all()
        whole = interface.answer(asked, request, reply)
        match fault.kind if fault is not None else "":
            case "500":
                await _answer(writer, 500, {"error": {"message": "scripted failure"}})
                return True
            case "hang":
                await reader.read(1)
                return False
            case "cut":
                writer.write(_encoded(200, whole, {})[: -(len(whole.body) // 2)])
                await writer.drain()
                return False
            case "slow" if fault is not None:
                await asyncio.sleep(fault.after_ms / 1_000)
        writer.write(_encoded(200, whole, {}))
        await writer.drain()
        counts.answered += 1
        return True

    async def _decide(
        self, interface: Interface, body: bytes, fault: _Fault | None
    ) -> _Refusal | tuple[dict[str, Any], ModelRequest, ModelReply]:
        """What was asked, and what will be answered, before faults that strike after counting."""
        if self.counts.calls > self._calls_max:
            return _Refusal(503, {"message": "the server has served all it will"})
        if fault is not None and fault.kind == "429":
            wait = {"Retry-After": "0", **({"retry-after-ms": str(fault.after_ms)} if fault.after_ms else {})}
            return _Refusal(429, {"message": "slow down", "type": "rate_limit_exceeded"}, wait)
        if fault is not None and fault.kind == "400":
            return _Refusal(400, {"message": "scripted refusal", "type": "invalid_request_error"})
        try:
            asked = clean(json.loads(body))
            request = interface.request(asked)
            reply = await self._model.complete(request, deadline_us=60_000_000)
            if self._drifts and self._serving > 1:
                reply = msgspec.structs.replace(reply, text=f"{reply.text[:10]}, among {self._serving}")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _Refusal(400, {"message": f"not understood: {type(error).__name__}"})
        except ModelCallError as error:
            return _Refusal(error.status or (500 if error.sent else 400), {"message": error.what})
        return asked, request, reply


def _encoded(status: int, answer: Answer, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Scripted",
        f"Content-Type: {answer.media_type}",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body


async def _answer(
    writer: asyncio.StreamWriter, status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    writer.write(_encoded(status, Answer(canonical(value)), headers or {}))
    await writer.drain()


async def _serve(server: CountingModelServer, seconds_max: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(json.dumps({"address": server.address, "base_url": server.base_url}), flush=True)  # noqa: T201 - its answer
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds_max)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM, SIGINT or `--seconds-max`."""
    parser = argparse.ArgumentParser(prog="python -m tenuto.testing.model_server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], help="KIND[:MS] with @N[,N], %%N or ~TEXT")
    parser.add_argument("--calls-max", type=int, default=100_000)
    parser.add_argument("--seconds-max", type=float, default=600.0)
    given = parser.parse_args(arguments)
    try:
        server = CountingModelServer(seed=given.seed, faults=given.fault, calls_max=given.calls_max, port=given.port)
    except UsageError as error:
        parser.error(str(error))
    asyncio.run(_serve(server, given.seconds_max))


if __name__ == "__main__":
    main()
