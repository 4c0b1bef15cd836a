"""The counting server, in this process and in its own, through the adapter that tests use."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

import httpx
import msgspec
import pytest

from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.core.canonical import canonical, digest_of
from tenuto.core.models import Message, ModelConfig, ModelRequest, ToolSchema
from tenuto.errors import ModelCallError, UsageError
from tenuto.testing.clock import ManualClock
from tenuto.testing.model_server import CountingModelServer

DEADLINE_US = 10_000_000
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"enum": ["x", "y"]}}}


def request(text: str, *, model: str = "openai:m", schema: Any = None, tools: bool = False) -> ModelRequest:
    raw = msgspec.Raw(canonical(SCHEMA))
    return ModelRequest(
        call="r/s/1/0",
        config=ModelConfig(max_tokens=64, model=model),
        fingerprint=digest_of(text),
        key=digest_of(text),
        messages=(Message(role="user", text=text),),
        output_schema=None if schema is None else msgspec.Raw(canonical(schema)),
        tools=(ToolSchema(description="d", name="t", parameters=raw),) if tools else (),
    )


async def ask(server: CountingModelServer, *requests: ModelRequest, deadline_us: int = DEADLINE_US) -> list[Any]:
    """The outcomes: a reply, or the kind of the failure."""
    adapter = OpenAIAdapter(server.base_url, clock=ManualClock())
    outcomes: list[Any] = []
    for each in requests:
        try:
            outcomes.append(await adapter.complete(each, deadline_us=deadline_us))
        except ModelCallError as error:
            outcomes.append(error.kind)
    await adapter.close()
    return outcomes


async def test_it_counts_what_the_replies_say() -> None:
    async with CountingModelServer() as server:
        replies = await ask(server, request("a"), request("b", schema=SCHEMA), request("a"))
        counts = server.counts
    assert replies[0] == replies[2]
    assert json.loads(replies[1].text)["a"] in ("x", "y")
    assert (counts.calls, counts.counted, counts.answered, counts.distinct) == (3, 3, 3, 2)
    assert counts.input_tokens == sum(r.usage.input_tokens for r in replies)
    assert counts.output_tokens == sum(r.usage.output_tokens for r in replies)


async def test_names_carry_the_options_of_the_mock() -> None:
    async with CountingModelServer() as server:
        called, wrong = await ask(
            server,
            request("a", model="openai:m?tools=1&calls=2", tools=True),
            request("a", model="openai:m?nonsense=1"),
        )
    assert [c.name for c in called.tool_calls] == ["t", "t"]
    assert wrong == "bad_request"


@pytest.mark.parametrize(
    ("fault", "kind", "counted"),
    [
        ("429@1", "rate_limited", 0),
        ("400@1", "bad_request", 0),
        ("500@1", "server", 1),
        ("cut@1", "cut_stream", 1),
        ("hang@1", "timeout", 1),
        ("slow:5000@1", "timeout", 1),
    ],
)
async def test_faults_strike_once_and_count_as_a_provider_does(fault: str, kind: str, counted: int) -> None:
    async with CountingModelServer(faults=[fault]) as server:
        assert await ask(server, request("a"), deadline_us=200_000 if kind == "timeout" else DEADLINE_US) == [kind]
        assert (server.counts.calls, server.counts.counted, server.counts.answered) == (1, counted, 0)
        assert (server.counts.output_tokens > 0) is (counted == 1)
        (reply,) = await ask(server, request("a"))
        assert reply.text


async def test_faults_by_share_and_by_content() -> None:
    async with CountingModelServer(faults=["429%2", "500~needle"]) as server:
        outcomes = await ask(server, *(request(t) for t in ("x needle", "b", "x needle", "d")))
    assert [o if isinstance(o, str) else "ok" for o in outcomes] == ["server", "rate_limited", "ok", "rate_limited"]


async def test_it_ends_after_its_calls() -> None:
    async with CountingModelServer(calls_max=1) as server:
        outcomes = await ask(server, request("a"), request("b"))
    assert outcomes[1] == "server"


@pytest.mark.parametrize("fault", ["", "500", "418@1", "429@x", "cut%", "429@1,,2"])
def test_faults_that_are_none(fault: str) -> None:
    with pytest.raises(UsageError, match="fault"):
        CountingModelServer(faults=[fault])


async def test_closing_cuts_a_call_that_hangs() -> None:
    server = await CountingModelServer(faults=["hang@1"]).start()
    waiting = asyncio.create_task(ask(server, request("a")))
    await server.wait_counted(1)
    await server.close()
    await server.close()
    assert await waiting == ["cut_stream"]


def test_it_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tenuto.testing.model_server", "--port", "0", "--fault", "500@2"]
    with subprocess.Popen([*command, "--seconds-max", "60"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        body = {"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
        statuses = [httpx.post(f"{told['base_url']}/chat/completions", json=body).status_code for _ in range(3)]
        counts = httpx.get(f"{told['address']}/counts").json()
        calls = httpx.get(f"{told['address']}/calls").json()["calls"]
        missing = httpx.get(f"{told['address']}/nothing").status_code
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert statuses == [200, 500, 200]
    assert (counts["calls"], counts["counted"], counts["answered"], counts["distinct"]) == (3, 3, 2, 1)
    assert [(one["number"], one["fault"]) for one in calls] == [(1, ""), (2, "500"), (3, "")]
    assert sum(one["input_tokens"] for one in calls) == counts["input_tokens"]
    assert sum(one["output_tokens"] for one in calls) == counts["output_tokens"]
    assert missing == 404
