"""Every failure of a model server as what a run records of it: over real sockets, whole and streamed.

The table is the contract: what it is called, whether another try may help, whether the hold is kept (the provider may
have counted the call) or given back, and how long the server asks to wait.
"""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.openai import CHAT_COMPLETIONS, Interface, OpenAIAdapter
from tenuto.adapters.models.responses import RESPONSES
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.canonical import digest_of
from tenuto.core.content import Content
from tenuto.core.events.call import ModelCallFailed, ModelCallRequested, ModelReplied, ToolReturned
from tenuto.core.frames import CORRECTIONS_MAX
from tenuto.core.ids import StepPath
from tenuto.core.models import ModelConfig, ModelReply, ModelRequest, Served, ToolCallAsk, Usage
from tenuto.core.plan import Retry
from tenuto.core.report import budget_report
from tenuto.core.state import ExecutionState
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.live_text import LiveText
from tenuto.runtime.published import Published
from tenuto.testing.builders import plan, prompt
from tenuto.testing.misbehaviour import FAULTS, STREAM_FAULTS, Behaviour, Fault, misbehaving, whole
from tenuto.testing.model_server_formats import INTERFACES

REPLY_BYTES_MAX = 64 << 10
D = digest_of("nothing")
REQUEST = ModelRequest(call="", config=ModelConfig(max_tokens=64, model="mock:m"), fingerprint=D, key=D, messages=())


@dataclass(frozen=True)
class Mode:
    """One way in which a model can be asked."""

    interface: Interface
    streamed: bool

    def answer(self, reply: ModelReply, request: ModelRequest) -> tuple[bytes, str]:
        """The body of a good answer, and its type."""
        asked = {"stream": self.streamed, "stream_options": {"include_usage": True}}
        made = INTERFACES[f"/v1{self.interface.path}"].answer(asked, request, reply)
        return made.body, made.media_type


MODES = {
    "chat": Mode(CHAT_COMPLETIONS, False),
    "chat streamed": Mode(CHAT_COMPLETIONS, True),
    "responses": Mode(RESPONSES, False),
    "responses streamed": Mode(RESPONSES, True),
}


@pytest.fixture(params=list(MODES.values()), ids=list(MODES))
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


async def run(mode: Mode, url: str, directory: Path, **fields: Any) -> tuple[ExecutionState, list[Any], str]:
    """A run of one step with one try; its state, its events, and what was seen of the answer on its way."""
    clock = SystemClock()
    adapter = OpenAIAdapter(url, "sk-key", clock=clock, interface=mode.interface, reply_bytes_max=REPLY_BYTES_MAX)
    engine = PlanExecutionEngine(
        journal=InMemoryJournal(clock),
        artifacts=InMemoryArtifactStore(),
        models=adapter,
        tools=Toolbox([]),
        workspace=lambda contents: TreeWorkspace(contents, directory / ".pool"),
        clock=clock,
    )
    events: list[Any] = []
    seen: list[str] = []
    engine.bus.on(Published, lambda published: events.append(published.event))
    if mode.streamed:
        engine.live.on(LiveText, lambda piece: seen.append(piece.text))
    model = f"{mode.interface.provider}:m"
    options: dict[str, Any] = {"max_tokens": 64, "retry": Retry(tries=1)} | fields
    repository = directory / "repository"
    repository.mkdir(exist_ok=True)
    try:
        state = await engine.execute(plan(prompt("ask", **options), tokens=100_000), repository, "one", model=model)
    finally:
        await engine.close()
        await adapter.close()
    return state, events, "".join(seen)


def expected(fault: Fault) -> tuple[Any, ...]:
    return fault.kind, fault.retryable, fault.kept, fault.status, fault.retry_after_ms


def outcome(state: ExecutionState, events: list[Any]) -> tuple[Any, ...]:
    """The one recorded failure, which the ledger agrees with."""
    (failed,) = [event for event in events if isinstance(event, ModelCallFailed)]
    report = budget_report(state)
    assert bool(report["spent"].get("tokens", 0)) is failed.kept
    assert [hold["call"] for hold in report["in_doubt"]] == ([failed.call] if failed.kept else [])
    assert report["reserved"].get("tokens", 0) == 0
    assert "sk-key" not in failed.error.message
    assert "\n" not in failed.error.message
    return failed.error.kind, failed.retryable, failed.kept, failed.status, failed.retry_after_ms


@pytest.mark.parametrize("name", FAULTS)
async def test_every_failure_is_a_typed_recorded_outcome(mode: Mode, name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    async with misbehaving(fault.behaviour) as url:
        state, events, _ = await run(mode, url, tmp_path, timeout_ms=250)
    assert state.status == "failed"
    assert outcome(state, events) == expected(fault)


@pytest.mark.parametrize("name", STREAM_FAULTS)
@pytest.mark.parametrize("mode", [m for m in MODES.values() if m.streamed], ids=["chat", "responses"])
async def test_every_failure_of_a_stream_is_one_too(mode: Mode, name: str, tmp_path: Path) -> None:
    fault = STREAM_FAULTS[name]
    async with misbehaving(fault.behaviour) as url:
        state, events, _ = await run(mode, url, tmp_path, timeout_ms=2_000)
    assert outcome(state, events) == expected(fault)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/v1", "https://127.0.0.1:{port}/v1", "http://no.invalid/v1"])
async def test_without_a_connection_the_hold_is_given_back(mode: Mode, url: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        state, events, _ = await run(mode, url.format(port=taken.getsockname()[1]), tmp_path)
    assert outcome(state, events) == ("refused_connection", True, False, None, None)


async def test_a_server_without_tls_gets_nothing(mode: Mode, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(9)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        state, events, _ = await run(mode, f"https://127.0.0.1:{port}/v1", tmp_path)
    assert outcome(state, events) == ("refused_connection", True, False, None, None)


def reply(text: str = "", *calls: tuple[str, str, str], finish: str = "stop") -> ModelReply:
    asks = tuple(ToolCallAsk(arguments=msgspec.Raw(a.encode()), id=i, name=n) for i, n, a in calls)
    usage = Usage(input_tokens=11, output_tokens=7)
    return ModelReply(finish="tool_calls" if calls else finish, text=text, tool_calls=asks, usage=usage)


def answering(mode: Mode, *replies: ModelReply) -> Behaviour:
    """Good answers, one after the other, and the last one for ever."""
    left = list(replies)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body, media_type = mode.answer(left.pop(0) if len(left) > 1 else left[0], REQUEST)
        await whole(200, body, f"Content-Type: {media_type}")(reader, writer)

    return behave


TEXT = "Seven pieces of text: \u00e4\u20ac\U0001f600, and no more of them."


async def test_a_good_answer_is_one_record_however_it_came(mode: Mode, tmp_path: Path) -> None:
    async with misbehaving(answering(mode, reply(TEXT))) as url:
        state, events, seen = await run(mode, url, tmp_path)
    (replied,) = [event for event in events if isinstance(event, ModelReplied)]
    assert state.steps[StepPath("ask")].output == Content.of(TEXT)
    assert seen == (TEXT if mode.streamed else "")
    plain = msgspec.structs.replace(replied, duration_ms=0, served=Served())
    assert plain == ModelReplied(
        call=replied.call,
        dropped=("seed",) if mode.interface is RESPONSES else (),
        finish="stop",
        reply=replied.reply,
        served=Served(),
        try_number=1,
        usage=Usage(input_tokens=11, output_tokens=7),
    )
    assert replied.served.model == "m"


async def test_an_answer_cut_in_two_is_not_half_an_answer(mode: Mode, tmp_path: Path) -> None:
    """Closed in good order in the middle: what was seen of it is not recorded, and its hold is kept."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body, _ = mode.answer(reply(TEXT), REQUEST)
        await whole(200, body[: len(body) // 2])(reader, writer)

    async with misbehaving(behave) as url:
        state, events, seen = await run(mode, url, tmp_path)
    assert outcome(state, events)[:3] == ("cut_stream" if mode.streamed else "bad_response", True, True)
    assert TEXT.startswith(seen)


async def test_another_try_begins_the_text_again(mode: Mode, tmp_path: Path) -> None:
    bodies = [mode.answer(reply(TEXT), REQUEST)[0]]
    bodies.insert(0, bodies[0][: len(bodies[0]) // 2])

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole(200, bodies.pop(0))(reader, writer)

    async with misbehaving(behave) as url:
        state, events, seen = await run(mode, url, tmp_path, retry=Retry(tries=2, backoff_ms=1))
    assert state.status == "ok"
    assert [type(e).__name__ for e in events if isinstance(e, ModelReplied | ModelCallFailed)] == [
        "ModelCallFailed",
        "ModelReplied",
    ]
    assert seen.endswith(TEXT if mode.streamed else "")


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


async def test_a_wrong_shape_is_corrected_a_bounded_number_of_times(mode: Mode, tmp_path: Path) -> None:
    async with misbehaving(answering(mode, reply('{"a": "x"}'), reply("not JSON"), reply('{"a": 1}'))) as url:
        state, events, _ = await run(mode, url, tmp_path, output=SCHEMA)
    assert state.status == "ok"
    replied = [event for event in events if isinstance(event, ModelReplied)]
    assert [bool(event.violations) for event in replied] == [True, True, False]
    async with misbehaving(answering(mode, reply('{"a": "x"}'))) as url:
        state, events, _ = await run(mode, url, tmp_path, output=SCHEMA)
    error = state.steps[StepPath("ask")].error
    assert error is not None
    assert error.kind == "schema"
    assert sum(isinstance(event, ModelReplied) for event in events) == 1 + CORRECTIONS_MAX


async def test_an_unknown_tool_is_told_to_the_model(mode: Mode, tmp_path: Path) -> None:
    answers = (reply("", ("a", "no_such_tool", "{}"), ("b", "nor_this", "{}")), reply("well then"))
    async with misbehaving(answering(mode, *answers)) as url:
        state, events, _ = await run(mode, url, tmp_path)
    returned = [event for event in events if isinstance(event, ToolReturned)]
    assert [event.status for event in returned] == ["error", "error"]
    assert all("there is no tool" in event.result.data.decode() for event in returned)
    assert state.status == "ok"


@pytest.mark.parametrize(
    "calls",
    [
        (("a", "t", "{}"), ("a", "t", "{}")),
        (("a", "t", "{broken"),),
        (("a", "t", "[1]"),),
        (("a", "", "{}"),),
    ],
    ids=["equal ids", "broken arguments", "arguments of a wrong type", "no name"],
)
async def test_tool_calls_that_cannot_be_made(mode: Mode, calls: Any, tmp_path: Path) -> None:
    async with misbehaving(answering(mode, reply("", *calls))) as url:
        state, events, _ = await run(mode, url, tmp_path)
    assert outcome(state, events) == ("bad_response", True, True, 200, None)


async def test_usage_that_is_not_told_counts_as_the_bound(mode: Mode, tmp_path: Path) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body, _ = mode.answer(reply(TEXT), REQUEST)
        await whole(200, body.replace(b'"usage":', b'"other":'))(reader, writer)

    async with misbehaving(behave) as url:
        state, events, _ = await run(mode, url, tmp_path)
    (asked,) = [event for event in events if isinstance(event, ModelCallRequested)]
    assert state.status == "ok"
    spent = budget_report(state)["spent"]
    assert spent["output_tokens"] == asked.hold.output_tokens == 64
    assert 11 < spent["input_tokens"] <= asked.hold.input_tokens


async def test_a_server_that_ignores_that_a_stream_was_asked_for(tmp_path: Path) -> None:
    for streamed in (MODES["chat streamed"], MODES["responses streamed"]):
        plain = Mode(streamed.interface, False)
        async with misbehaving(answering(plain, reply(TEXT))) as url:
            state, _, seen = await run(streamed, url, tmp_path)
        assert (state.status, seen) == ("ok", "")


async def test_a_server_that_refuses_streams_is_asked_without(tmp_path: Path) -> None:
    mode = MODES["chat streamed"]
    bodies = [(400, json.dumps({"error": {"message": "Unknown parameter: 'stream_options'"}}).encode())]
    bodies.append((200, Mode(mode.interface, False).answer(reply(TEXT), REQUEST)[0]))

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole(*bodies.pop(0))(reader, writer)

    async with misbehaving(behave) as url:
        state, events, seen = await run(mode, url, tmp_path, retry=Retry(tries=2, backoff_ms=1))
    (failed,) = [event for event in events if isinstance(event, ModelCallFailed)]
    assert (failed.error.kind, failed.retryable, failed.kept) == ("bad_request", True, False)
    assert (state.status, seen) == ("ok", "")
