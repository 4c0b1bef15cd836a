"""Providers by pydantic-ai: its own test models, and one of its SDKs against the counting server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from tenuto.adapters.models.bounded_http import make_client
from tenuto.adapters.models.counting import request_bytes
from tenuto.adapters.models.profiles import find_profile
from tenuto.adapters.models.pydantic_ai_adapter import PROVIDERS, PydanticAIAdapter
from tenuto.core.models import Message, ModelReply, ModelRequest, ToolCallAsk
from tenuto.errors import ModelCallError, UsageError
from tenuto.testing.clock import ManualClock
from tenuto.testing.misbehaviour import FAULTS, STREAM_FAULTS, misbehaving
from tenuto.testing.model_server import CountingModelServer

pytest.importorskip("pydantic_ai", reason="pydantic-ai-slim is not installed (tenuto[models])")

from pydantic_ai import exceptions as library
from pydantic_ai import messages as parts
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

KEY = "gsk-very-secret-key-123456"
DEADLINE_US = 10_000_000
SCHEMA = {
    "type": "object",
    "required": ["a"],
    "properties": {"a": {"type": "integer"}},
    "additionalProperties": False,
}
TOOL = ("read", SCHEMA)


def adapter(answer: Any) -> PydanticAIAdapter:
    """An adapter whose library answers with a function of (messages, info), a response, or an exception."""

    def function(messages: Any, info: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer(messages, info) if callable(answer) else answer

    model = FunctionModel(function, profile={"supports_json_schema_output": True})
    return PydanticAIAdapter("google", KEY, clock=ManualClock(), make_model=lambda _: model)


def response(*said: Any, finish: Any = "stop", usage: Any = None, **more: Any) -> Any:
    made = [parts.TextPart(content=part) if isinstance(part, str) else part for part in said]
    usage = RequestUsage(input_tokens=9, output_tokens=4) if usage is None else usage
    return parts.ModelResponse(parts=made, finish_reason=finish, usage=usage, **more)


def called(identity: str, arguments: Any, name: str = "read") -> Any:
    return parts.ToolCallPart(tool_name=name, args=arguments, tool_call_id=identity)


async def test_requests_are_told_in_the_librarys_words(ask: Any) -> None:
    seen: list[Any] = []

    def answer(messages: Any, info: Any) -> Any:
        seen.append((messages, info))
        return response("done", provider_response_id="req-1")

    before = ToolCallAsk(arguments=msgspec.Raw(b'{"a":1}'), id="c1", name="read")
    request = ask(
        "google:m",
        Message(role="system", text="Be short."),
        "Read it.",
        Message(role="assistant", text="I look.", tool_calls=(before,)),
        Message(role="tool", text="found", tool_call_id="c1", tool_name="read"),
        "And now?",
        max_tokens=9,
        schema=SCHEMA,
        tools=(TOOL,),
    )
    reply = await adapter(answer).complete(request, deadline_us=DEADLINE_US)
    ((messages, info),) = seen
    assert [[type(part).__name__ for part in message.parts] for message in messages] == [
        ["SystemPromptPart", "UserPromptPart"],
        ["TextPart", "ToolCallPart"],
        ["ToolReturnPart", "UserPromptPart"],
    ]
    assert messages[1].parts[1].args_as_dict() == {"a": 1}
    assert messages[2].parts[0].tool_call_id == "c1"
    settings = {
        key: info.model_settings[key] for key in ("temperature", "top_p", "seed", "max_tokens", "max_retries")
    }
    assert settings == {"temperature": 0, "top_p": 1, "seed": 7, "max_tokens": 9, "max_retries": 0}
    assert [tool.parameters_json_schema for tool in info.function_tools] == [SCHEMA]
    wanted = info.model_request_parameters.output_object
    assert (wanted.json_schema, wanted.strict) == (SCHEMA, True)
    assert (reply.text, reply.finish, reply.dropped) == ("done", "stop", ())
    assert reply.served.request_id == "req-1"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (9, 4)


async def test_what_a_provider_has_not_is_dropped_and_named(ask: Any) -> None:
    model = FunctionModel(lambda *_: response("{}"), profile={"supports_json_schema_output": False})
    other = PydanticAIAdapter("anthropic", KEY, clock=ManualClock(), make_model=lambda _: model)
    reply = await other.complete(ask("anthropic:m", "x", schema=SCHEMA), deadline_us=DEADLINE_US)
    assert reply.dropped == ("json_schema", "seed", "temperature", "top_p"), "an unknown name: nothing can be pinned"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (response("cut", finish="length"), ("cut", "length", 0)),
        (response(finish="length"), ("", "length", 0)),
        (response("no", finish="content_filter"), ("no", "filter", 0)),
        (response("a", parts.ThinkingPart(content="hm"), "b", finish=None), ("ab", "stop", 0)),
        (response(called("a", '{"a":1}'), called("b", {"a": 2}), finish="tool_call"), ("", "tool_calls", 2)),
        (response("x", called("a", None)), ("x", "tool_calls", 1)),
        (response("x", called("a", '{"a'), finish="length"), ("x", "length", 0)),
    ],
    ids=["cut", "cut before it began", "filtered", "thought", "tools", "a tool, no arguments", "half a call"],
)
async def test_endings(ask: Any, answer: Any, expected: tuple[str, str, int]) -> None:
    reply = await adapter(answer).complete(ask("google:m", "x", tools=(TOOL,)), deadline_us=DEADLINE_US)
    assert (reply.text, reply.finish, len(reply.tool_calls)) == expected


async def test_usage_that_is_not_told_counts_as_the_bound(ask: Any) -> None:
    request = ask("google:m", "hello", max_tokens=33)
    answer = response("x", usage=RequestUsage())
    # FunctionModel counts by itself where it is told nothing; the reader is asked directly.
    from tenuto.adapters.models.pydantic_ai_wire import read

    usage = read(answer, request, find_profile("google", "m", name="google:m"), ()).usage
    assert (usage.input_tokens, usage.output_tokens) == (request_bytes(request) + 256, 33)


def http(category: Any, status: int, **more: Any) -> Any:
    return library.ModelHTTPError.for_category(category, status_code=status, model_name="m", **more)


@pytest.mark.parametrize(
    ("error", "kind", "sent", "retryable", "wait_ms"),
    [
        (library.ModelConnectionError("m", "x", phase="connect"), "refused_connection", False, True, None),
        (library.ModelConnectionError("m", "x", phase="pool"), "refused_connection", False, True, None),
        (library.ModelConnectionError("m", "x", phase="read"), "cut_stream", True, True, None),
        (library.ModelConnectionError("m", "x"), "cut_stream", True, True, None),
        (library.ModelTimeoutError("m", "x", phase="connect"), "refused_connection", False, True, None),
        (library.ModelTimeoutError("m", "x", phase="read"), "timeout", True, True, None),
        (library.ModelRequestTimeout("m", 3.0), "timeout", True, True, None),
        (http(library.ModelAuthenticationError, 401), "unauthorized", False, False, None),
        (http(library.ModelNotFoundError, 404), "bad_request", False, False, None),
        (http(library.ModelRequestRejectedError, 400), "bad_request", False, False, None),
        (http(library.ModelContextWindowExceededError, 400), "context_length", False, False, None),
        (http(library.ModelRateLimitError, 429, headers={"Retry-After": "7"}), "rate_limited", False, True, 7_000),
        (http(library.ModelRateLimitError, 429), "rate_limited", False, True, None),
        (http(library.ModelQuotaExceededError, 400), "rate_limited", False, False, None),
        (http(library.ModelOverloadedError, 529), "server", True, True, None),
        (http(library.ModelServerError, 500, retry_after=0.5), "server", True, True, 500),
        (http(library.ModelRateLimitError, 429, in_stream=True), "rate_limited", True, True, None),
        (http(None, 418), "bad_request", False, False, None),
        (library.ModelServerError("m", "x"), "server", True, True, None),
        (library.ModelAPIError("m", f"the key {KEY} is bad"), "server", True, True, None),
        (library.UnexpectedModelBehavior("x"), "bad_response", True, True, None),
        (library.UserError("x"), "bad_request", False, False, None),
        (ValueError(f"key {KEY}"), "bad_response", True, True, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_failures(
    ask: Any, error: Exception, kind: str, sent: bool, retryable: bool, wait_ms: int | None
) -> None:
    with pytest.raises(ModelCallError) as caught:
        await adapter(error).complete(ask("google:m", "x"), deadline_us=DEADLINE_US)
    found = caught.value
    assert (found.kind, found.sent, found.retryable, found.retry_after_ms) == (kind, sent, retryable, wait_ms)
    assert KEY not in str(found)


@pytest.mark.parametrize(
    "answer",
    [
        response(),
        response("x", finish="error"),
        response("x", finish="tool_call"),
        response(called("a", "{}"), called("a", "{}")),
        response(called("a", "{broken")),
        response(called("a", "[1]")),
    ],
    ids=["nothing", "an error", "no tool", "one id twice", "broken arguments", "arguments in a list"],
)
async def test_answers_that_cannot_be_used(ask: Any, answer: Any) -> None:
    with pytest.raises(ModelCallError) as caught:
        await adapter(answer).complete(ask("google:m", "x", tools=(TOOL,)), deadline_us=DEADLINE_US)
    assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("bad_response", True, True)


async def test_the_librarys_own_test_model_calls_tools_and_then_answers(ask: Any) -> None:
    model = TestModel()
    other = PydanticAIAdapter("groq", KEY, clock=ManualClock(), make_model=lambda _: model)
    request = ask("groq:m", "x", tools=(TOOL,))
    reply = await other.complete(request, deadline_us=DEADLINE_US)
    assert [(call.name, bytes(call.arguments)) for call in reply.tool_calls] == [("read", b'{"a":0}')]


async def test_the_deadline_is_ours(ask: Any) -> None:
    async def slow(*_: Any) -> Any:
        await asyncio.sleep(60)

    model = FunctionModel(slow)
    other = PydanticAIAdapter("groq", KEY, clock=ManualClock(), make_model=lambda _: model)
    with pytest.raises(ModelCallError) as caught:
        await other.complete(ask("groq:m", "x"), deadline_us=50_000)
    assert (caught.value.kind, caught.value.sent) == ("timeout", True)


class TestAnSDK:
    """Groq's SDK is small, and its interface is that of chat completions."""

    @staticmethod
    async def ask(
        server: CountingModelServer, *requests: ModelRequest, seen: list[str] | None = None, **options: Any
    ) -> list[Any]:
        pytest.importorskip("groq", reason="the SDK of Groq is not installed")
        options.setdefault("deadline_us", DEADLINE_US)
        deadline_us = options.pop("deadline_us")
        other = PydanticAIAdapter("groq", KEY, clock=ManualClock(), base_url=server.address, **options)
        outcomes: list[Any] = []
        for each in requests:
            on_text = None if seen is None else seen.append
            try:
                outcomes.append(await other.complete(each, deadline_us=deadline_us, on_text=on_text))
            except ModelCallError as error:
                outcomes.append(error)
        await other.close()
        return outcomes

    async def test_it_answers_whole_and_streamed(self, ask: Any) -> None:
        plain = ask("groq:m", Message(role="system", text="s"), "x", max_tokens=24)
        tools = ask("groq:m?tools=1&calls=2", "x", tools=(TOOL,))
        async with CountingModelServer() as server:
            first = await self.ask(server, plain, tools)
            seen: list[str] = []
            again = await self.ask(server, plain, tools, seen=seen)
            assert server.counts.calls == 4
        replies: list[ModelReply] = [*first, *again]
        assert [reply.finish for reply in replies] == ["length", "tool_calls"] * 2
        assert first[0].text == again[0].text == "".join(seen)
        assert first[1].tool_calls == again[1].tool_calls
        assert (first[0].usage.output_tokens, first[0].dropped) == (24, ())

    @pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
    @pytest.mark.parametrize(
        ("fault", "kind", "sent", "retryable", "wait_ms"),
        [
            ("429:70@1", "rate_limited", False, True, 70),
            ("400@1", "bad_request", False, False, None),
            ("500@1", "server", True, True, None),
            ("cut@1", "cut_stream", True, True, None),
            ("hang@1", "timeout", True, True, None),
        ],
    )
    async def test_it_asks_once_and_its_failures_are_ours(
        self, ask: Any, streamed: bool, fault: str, kind: str, sent: bool, retryable: bool, wait_ms: int | None
    ) -> None:
        async with CountingModelServer(faults=[fault]) as server:
            deadline_us = 500_000 if kind == "timeout" else DEADLINE_US
            seen: list[str] | None = [] if streamed else None
            (error,) = await self.ask(server, ask("groq:m", "x"), seen=seen, deadline_us=deadline_us)
            assert server.counts.calls == 1
        found = (error.kind, error.sent, error.retryable, error.retry_after_ms)
        assert found == (kind, sent, retryable, wait_ms)
        assert KEY not in str(error)

    @pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
    async def test_replies_are_bounded(self, ask: Any, streamed: bool) -> None:
        async with CountingModelServer() as server:
            request = ask("groq:m?size=60000", "x", max_tokens=60_000)
            seen: list[str] | None = [] if streamed else None
            (error,) = await self.ask(server, request, seen=seen, reply_bytes_max=20_000)
        assert (error.kind, error.sent, error.retryable) == ("too_large", True, False)


COARSER = {
    "redirect": "server",
    "error under 200": "bad_response",
    "an endless head": "cut_stream",
    "a long head": "cut_stream",
    "not HTTP": "cut_stream",
    "a bomb": "bad_response",
    "half a packing": "bad_response",
    "invalid JSON": "server",
    "nested too deeply": "server",
    "an event that is no JSON": "server",
    "nothing": "bad_response",
    "only comments": "bad_response",
    "events without end": "bad_response",
}
"""Where an SDK does not tell what went wrong, a failure has a coarser name. Whether a hold is kept never differs."""
ASKED = [(name, streamed) for name in FAULTS for streamed in (False, True)] + [(name, True) for name in STREAM_FAULTS]


@pytest.mark.parametrize(("name", "streamed"), ASKED)
async def test_a_hold_is_never_given_back_for_what_may_have_been_counted(ask: Any, name: str, streamed: bool) -> None:
    pytest.importorskip("groq", reason="the SDK of Groq is not installed")
    fault = {**FAULTS, **STREAM_FAULTS}[name]
    async with misbehaving(fault.behaviour) as url:
        other = PydanticAIAdapter(
            "groq", KEY, clock=ManualClock(), base_url=url.removesuffix("/v1"), reply_bytes_max=64 << 10
        )
        on_text = (lambda _: None) if streamed else None
        with pytest.raises(ModelCallError) as caught:
            await other.complete(ask("groq:m", "x"), deadline_us=250_000, on_text=on_text)
        await other.close()
    found = caught.value
    kinds = {fault.kind} if name not in COARSER else {fault.kind, COARSER[name]}
    if (name, streamed) in {("invalid JSON", True), ("nested too deeply", True), ("error under 200", True)}:
        kinds.add("bad_response")
    assert (found.sent, found.kind in kinds) == (fault.kept, True), str(found)
    assert found.retry_after_ms == fault.retry_after_ms


@pytest.mark.parametrize("library_name", ["httpx", "httpx2"])
async def test_packed_replies_are_refused(library_name: str, serving: Any) -> None:
    pytest.importorskip(library_name)

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nzz")
        await writer.drain()

    client = make_client(library_name, bytes_max=1_000)
    async with serving(behave) as server:
        with pytest.raises(Exception, match="packed, unasked"):
            await client.post(server.url, json={})
        assert "accept-encoding: identity" in server.heads[0].lower()
    await client.aclose()


def test_missing_packages_and_names_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    other = PydanticAIAdapter("groq", KEY, clock=ManualClock())
    with pytest.raises(UsageError, match="the model has no name"):
        other.profile("groq:")
    monkeypatch.setitem(PROVIDERS, "groq", ("no_such_package_at_all", "httpx"))
    with pytest.raises(UsageError, match=r"no_such_package_at_all is not installed; pip install 'tenuto\[models\]'"):
        other.profile("groq:m")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_nothing_is_claimed_of_models_that_nobody_tried(provider: str) -> None:
    profile = find_profile(provider, "anything", name=f"{provider}:anything")
    assert not profile.verified
    assert profile.source.startswith("https://")
    assert profile.date


async def test_a_call_without_a_key_is_not_made(ask: Any) -> None:
    pytest.importorskip("groq", reason="the SDK of Groq is not installed")
    with pytest.raises(ModelCallError) as caught:
        await PydanticAIAdapter("groq", "", clock=ManualClock()).complete(ask("groq:m", "x"), deadline_us=DEADLINE_US)
    assert (caught.value.kind, caught.value.sent) == ("bad_request", False)


def test_the_library_is_not_imported_with_the_adapter() -> None:
    code = "import sys, tenuto.adapters.models.pydantic_ai_adapter as m; print('pydantic_ai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"
