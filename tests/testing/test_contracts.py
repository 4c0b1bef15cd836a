"""Our own models and tools meet the contracts that others are held to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.adapters.models.script import ScriptedReply
from tenuto.adapters.models.scripted import ScriptedModel
from tenuto.adapters.tools.changing import WriteFileTool
from tenuto.adapters.tools.files import ReadFileTool
from tenuto.adapters.tools.functions import tool as tool_of
from tenuto.core.models import Usage
from tenuto.errors import ModelCallError
from tenuto.ports.workspace import TreeEdit
from tenuto.testing import ModelContract, ToolContract
from tenuto.testing.contracts.model import ModelUnderTest
from tenuto.testing.contracts.tool import ToolUnderTest
from tenuto.testing.model_server import CountingModelServer


class TestMock(ModelContract):
    @pytest.fixture
    def model(self) -> ModelUnderTest:
        return ModelUnderTest(LocalMockAdapter(), "mock:small?latency_ms=2")


class TestScripted(ModelContract):
    @pytest.fixture
    def model(self) -> ModelUnderTest:
        return ModelUnderTest(ScriptedModel([ScriptedReply(text="yes")]), "scripted:none")


class TestOpenAI(ModelContract):
    @pytest.fixture
    async def model(self) -> AsyncIterator[ModelUnderTest]:
        async with CountingModelServer() as server:
            provider = OpenAIAdapter(server.base_url, clock=SystemClock())
            yield ModelUnderTest(provider, "openai:m")
            await provider.close()


@tool_of(effect="once")
def post(message: str) -> int:
    """Tell the world something."""
    return len(message)


class TestReading(ToolContract):
    @pytest.fixture
    def tool(self) -> ToolUnderTest:
        return ToolUnderTest(ReadFileTool(), {"path": "readme.md"})


class TestWriting(ToolContract):
    @pytest.fixture
    def tool(self) -> ToolUnderTest:
        return ToolUnderTest(WriteFileTool(), {"path": "new.md", "content": "new\n"})


class TestFunction(ToolContract):
    @pytest.fixture
    def tool(self) -> ToolUnderTest:
        return ToolUnderTest(post, {"message": "hello"})


async def test_a_model_that_bills_more_than_is_held_does_not_pass() -> None:
    costly = ScriptedModel([ScriptedReply(text="yes", usage=Usage(input_tokens=5_000, output_tokens=1))])
    with pytest.raises(AssertionError):
        await ModelContract().test_it_costs_no_more_than_is_held_for_it(ModelUnderTest(costly, "scripted:none"))
    silent = ScriptedModel([])
    with pytest.raises(ModelCallError):
        await ModelContract().test_a_reply_says_how_it_ended_and_what_it_cost(ModelUnderTest(silent, "scripted:none"))


async def test_a_tool_that_writes_and_says_it_reads_does_not_pass() -> None:
    @tool_of(effect="read")
    async def sly(path: str, files: TreeEdit) -> str:
        """Write, and say nothing."""
        await files.write(path, b"x")
        return "done"

    with pytest.raises(AssertionError):
        await ToolContract().test_its_effect_is_the_declared_one(ToolUnderTest(sly, {"path": "x"}))
