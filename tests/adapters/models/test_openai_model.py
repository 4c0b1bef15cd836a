"""What is sent to a compatible server, and what is read from a good answer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from tenuto.adapters.models.counting import request_bytes
from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.adapters.models.prices import list_price
from tenuto.core.models import Message, ModelReply, ModelRequest, ToolCallAsk
from tenuto.errors import ModelCallError, UsageError
from tenuto.testing.clock import ManualClock

DEADLINE_US = 10_000_000
POINT = {
    "type": "object",
    "required": ["x"],
    "additionalProperties": False,
    "properties": {"x": {"type": "integer"}},
}
OPEN = {"type": "object", "properties": {"x": {"type": "integer"}}}


async def exchange(
    serving: Any, request: ModelRequest, answer: Any, *headers: str, **options: Any
) -> tuple[ModelReply, dict[str, Any], str]:
    """The reply, and body and head of what was sent."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", *headers])
        writer.write(head.encode() + b"\r\n\r\n" + data)
        await writer.drain()

    async with serving(behave) as server:
        adapter = OpenAIAdapter(server.url, "sk-some-key-12345", clock=ManualClock(), **options)
        reply = await adapter.complete(request, deadline_us=DEADLINE_US)
        await adapter.close()
        return reply, server.bodies[0], server.heads[0]


def answer(message: dict[str, Any] | None = None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"message": {"content": "hi"} if message is None else message, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return {"model": "m-1", "choices": [choice], "usage": usage, **more}


async def test_sampling_is_pinned_and_served_facts_are_kept(ask: Any, serving: Any) -> None:
    said = answer(system_fingerprint="fp_1")
    headers = ("x-request-id: req_9", "openai-version: 2020-10-01")
    reply, body, head = await exchange(serving, ask("openai:m", "hello", max_tokens=9), said, *headers)
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0,
        "top_p": 1,
        "seed": 7,
        "max_tokens": 9,
    }
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert "Authorization: Bearer sk-some-key-12345" in head
    assert "dempotency" not in head
    assert (reply.text, reply.finish, reply.dropped) == ("hi", "stop", ())
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 2)
    served = reply.served
    assert (served.model, served.system_fingerprint, served.request_id) == ("m-1", "fp_1", "req_9")
    assert served.api_version == "2020-10-01"


@pytest.mark.parametrize("name", ["gpt-5-mini", "o3", "o4-mini-2025-04-16"])
async def test_what_a_reasoning_model_refuses_is_dropped_and_named(ask: Any, serving: Any, name: str) -> None:
    reply, body, _ = await exchange(serving, ask(f"openai:{name}", "hello", max_tokens=9), answer())
    assert reply.dropped == ("temperature", "top_p")
    assert body["max_completion_tokens"] == 9
    assert body.keys() == {"model", "messages", "seed", "max_completion_tokens"}


async def test_tools_go_out_and_parallel_calls_come_back(ask: Any, serving: Any) -> None:
    before = ToolCallAsk(arguments=msgspec.Raw(b'{"x":1}'), id="a", name="read")
    request = ask(
        "openai:m",
        Message(role="system", text="s"),
        Message(role="assistant", tool_calls=(before,)),
        Message(role="tool", text="found", tool_call_id="a", tool_name="read"),
        tools=(("read", POINT),),
    )
    calls = [
        {"id": "b", "type": "function", "function": {"name": "read", "arguments": '{"y": 1.0, "x": 2}'}},
        {"id": "", "type": "function", "function": {"name": "read", "arguments": ""}},
        {"id": "c", "type": "function", "function": {"name": "read", "arguments": {"x": 3}}},
    ]
    reply, body, _ = await exchange(serving, request, answer({"content": None, "tool_calls": calls}, "stop"))
    assert reply.finish == "tool_calls"
    assert [(c.name, bytes(c.arguments)) for c in reply.tool_calls] == [
        ("read", b'{"x":2,"y":1}'),
        ("read", b"{}"),
        ("read", b'{"x":3}'),
    ]
    assert len({c.id for c in reply.tool_calls}) == 3
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "read", "arguments": '{"x":1}'}
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "a", "content": "found"}
    assert body["tools"][0]["function"]["parameters"] == POINT


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (POINT, True),
        (OPEN, False),
        ({**POINT, "properties": {"x": OPEN}}, False),
        ({**POINT, "required": []}, False),
        ({**POINT, "properties": {"x": {"type": "string", "minLength": 3}}}, False),
        ({"$ref": "#/$defs/p", "$defs": {"p": POINT}}, True),
    ],
)
async def test_output_schemas_are_strict_where_that_is_possible(
    ask: Any, serving: Any, schema: Any, strict: bool
) -> None:
    _, body, _ = await exchange(serving, ask("openai:m", "x", schema=schema), answer())
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert body["response_format"]["json_schema"].get("strict", False) is strict


@pytest.mark.parametrize(
    ("message", "finish", "text", "expected"),
    [
        ({"content": "cut"}, "length", "cut", "length"),
        ({"content": None, "refusal": "I will not"}, "stop", "I will not", "filter"),
        ({"content": ""}, "content_filter", "", "filter"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "stop", "ab", "stop"),
        ({"content": "x", "tool_calls": []}, "eos", "x", "stop"),
        (
            {"content": "x", "tool_calls": [{"id": "a", "function": {"name": "t", "arguments": '{"a'}}]},
            "length",
            "x",
            "length",
        ),
    ],
)
async def test_endings(ask: Any, serving: Any, message: Any, finish: str, text: str, expected: str) -> None:
    reply, _, _ = await exchange(serving, ask("openai:m", "x"), answer(message, finish))
    assert (reply.text, reply.finish, reply.tool_calls) == (text, expected, ())


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            (9, 4, 3, 2),
        ),
        ({"prompt_tokens": 9, "total_tokens": 12}, (9, 3, 0, 0)),
        (None, None),
        ({"prompt_tokens": -1, "completion_tokens": True}, None),
        ({"prompt_tokens": "9", "completion_tokens": 1 << 60, "prompt_tokens_details": None}, None),
    ],
)
async def test_usage_that_is_not_told_counts_as_the_bound(
    ask: Any, serving: Any, usage: Any, expected: tuple[int, ...] | None
) -> None:
    request = ask("openai:m", "hello", max_tokens=33)
    reply, _, _ = await exchange(serving, request, answer(usage=usage))
    got = reply.usage
    wanted = expected or (request_bytes(request) + 64, 33, 0, 0)
    assert (got.input_tokens, got.output_tokens, got.cached_input_tokens, got.reasoning_tokens) == wanted


async def test_lone_surrogates_become_replacement_characters(ask: Any, serving: Any) -> None:
    calls = [{"id": "a", "function": {"name": "t", "arguments": '{"p": "\\ud800"}'}}]
    reply, _, _ = await exchange(
        serving,
        ask("openai:m", "x"),
        answer({"content": "a\ud800b", "tool_calls": calls}, system_fingerprint="\udfff"),
    )
    assert reply.text == "a\ufffdb"
    assert bytes(reply.tool_calls[0].arguments).decode() == '{"p":"\ufffd"}'
    assert reply.served.system_fingerprint == "\ufffd"


async def test_an_idempotency_key_goes_where_a_server_knows_one(ask: Any, serving: Any) -> None:
    request = ask("openai:m", "x")
    _, _, head = await exchange(serving, request, answer(), idempotency_header="Idempotency-Key")
    assert f"Idempotency-Key: {request.key}" in head


async def test_the_environment_is_not_read(ask: Any, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    reply, _, _ = await exchange(serving, ask("openai:m", "x"), answer())
    assert reply.text == "hi"


async def test_a_name_without_model_is_refused(ask: Any) -> None:
    adapter = OpenAIAdapter("http://127.0.0.1:9/v1", clock=ManualClock())
    with pytest.raises(UsageError, match="the model has no name"):
        adapter.profile("openai:")
    with pytest.raises(ModelCallError) as caught:
        await adapter.complete(ask("openai:", "x"), deadline_us=DEADLINE_US)
    assert (caught.value.kind, caught.value.sent) == ("bad_request", False)
    await adapter.close()


def test_profiles_say_where_they_are_from() -> None:
    adapter = OpenAIAdapter("http://127.0.0.1:9/v1", clock=ManualClock())
    known, unknown = adapter.profile("openai:gpt-5-mini"), adapter.profile("openai:my-own")
    assert not known.verified
    assert known.source.startswith("https://")
    assert known.date
    assert (unknown.grade, unknown.verified, unknown.price) == ("best effort", False, None)
    assert "seed" in unknown.accepts


def test_prices_are_millionths_for_a_million_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("genai_prices")
    price = list_price("gpt-5-mini", provider="openai", now_us=1_790_000_000_000_000)
    assert price is not None
    assert (price.input_micros, price.output_micros) == (250_000, 2_000_000)
    assert price.source.startswith("genai-prices ")
    tiers = list_price("gemini-2.5-pro", provider="google", now_us=1_790_000_000_000_000)
    assert tiers is not None
    assert tiers.input_micros > 1_250_000
    assert list_price("no-such-model", provider="openai", now_us=0) is None
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert list_price("gpt-5-mini", provider="openai", now_us=0) is None


def test_heavy_libraries_are_not_imported_with_the_adapters() -> None:
    modules = ["mock", "openai", "local", "recorded", "scripted", "names", "profiles", "prices"]
    code = f"import sys\nfor m in {modules}: __import__('tenuto.adapters.models.' + m)\n" + (
        "print([m for m in ('httpx', 'xllamacpp', 'genai_prices', 'yaml', 'jsonschema_rs') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
