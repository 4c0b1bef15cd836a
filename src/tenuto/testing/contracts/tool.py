"""What every tool must do.

```python
class TestMyTool(ToolContract):
    files = {"readme.md": "hello\\n"}      # the step's tree

    @pytest.fixture
    def tool(self):
        return ToolUnderTest(my_tool, {"path": "readme.md"})
```

Arguments are those of a call that succeeds. The tool is called up to three times.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, NamedTuple

import msgspec

from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE
from tenuto.core.canonical import canonical, digest_of, parse
from tenuto.core.ids import Digest, RunId, StepPath, valid_name
from tenuto.core.repetition import Repetition
from tenuto.core.tools import Grants, ToolCall
from tenuto.ports.tools import Tool, ToolContext, ToolOutput
from tenuto.ports.workspace import TreeEdit, WorkingDirectory

__all__ = ["ToolContract", "ToolUnderTest"]


class ToolUnderTest(NamedTuple):
    """A tool, arguments with which it succeeds, and what its step was granted."""

    tool: Tool
    arguments: dict[str, Any]
    grants: Grants = Grants()
    secrets: Mapping[str, str] = {}


class _Context(ToolContext):
    """What a tool may use, on a tree in memory."""

    def __init__(self, workspace: TreeWorkspace, files: TreeEdit, tool: ToolUnderTest) -> None:
        self._workspace = workspace
        self._files = files
        self._tool = tool
        self.opened: list[WorkingDirectory] = []

    @property
    def environment(self) -> Mapping[str, str]:
        return {}

    @property
    def grants(self) -> Grants:
        return self._tool.grants

    @property
    def repetition(self) -> Repetition | None:
        return None

    @property
    def secrets(self) -> Mapping[str, str]:
        return self._tool.secrets

    @property
    def deadline_us(self) -> int:
        return self._tool.tool.spec.timeout_ms * 1000

    @property
    def files(self) -> TreeEdit:
        return self._files

    async def directory(self) -> WorkingDirectory:
        self.opened.append(await self._workspace.directory(await self._files.commit()))
        return self.opened[-1]


class _Call(NamedTuple):
    """One call, and the tree before and after it."""

    output: ToolOutput
    before: Digest
    after: Digest


class ToolContract:
    """Override the fixture `tool` (a ToolUnderTest), and `files` where it needs some."""

    files: ClassVar[Mapping[str, str]] = {"readme.md": "hello\n"}

    async def test_its_description_is_complete_and_stays_the_same(self, tool: ToolUnderTest) -> None:
        spec = tool.tool.spec
        assert spec == tool.tool.spec
        assert valid_name(spec.name)
        assert spec.description
        assert spec.version
        assert spec.timeout_ms > 0
        assert parse(bytes(spec.parameters))["type"] == "object"
        assert not spec.reconcilable or spec.effect == "once"

    async def test_the_arguments_meet_its_schema_and_others_do_not(self, tool: ToolUnderTest) -> None:
        box = Toolbox([tool.tool])
        assert list(box.validate_arguments(tool.tool.spec, msgspec.Raw(canonical(tool.arguments)))) == []
        assert list(box.validate_arguments(tool.tool.spec, msgspec.Raw(b"[]")))

    async def test_its_answer_is_canonical_and_meets_its_schema(self, tool: ToolUnderTest) -> None:
        output = (await self._call(tool)).output
        assert output.status == "ok", bytes(output.value)
        assert canonical(parse(bytes(output.value))) == bytes(output.value)
        assert list(Toolbox([tool.tool]).validate_output(tool.tool.spec, output.value)) == []

    async def test_its_effect_is_the_declared_one(self, tool: ToolUnderTest) -> None:
        """A tool that only reads leaves the tree; one of the workspace can be called again from the same tree."""
        made = await self._call(tool)
        if tool.tool.spec.effect == "read":
            assert made.after == made.before
        elif tool.tool.spec.effect == "workspace":
            assert (await self._call(tool)).output.status == made.output.status

    async def test_it_can_be_cancelled(self, tool: ToolUnderTest) -> None:
        async with self._context(tool) as (context, tree):
            called = asyncio.ensure_future(tool.tool.invoke(_asked(tool, tree), context))
            await asyncio.sleep(0)
            called.cancel()
            await asyncio.wait([called], timeout=10)
            assert called.done()
            with suppress(asyncio.CancelledError):
                assert called.result().status == "ok"

    async def _call(self, tool: ToolUnderTest) -> _Call:
        async with self._context(tool) as (context, tree):
            output = await tool.tool.invoke(_asked(tool, tree), context)
            after = await context.opened[-1].capture() if context.opened else await context.files.commit()
            return _Call(output, tree, after)

    @asynccontextmanager
    async def _context(self, tool: ToolUnderTest) -> AsyncIterator[tuple[_Context, Digest]]:
        with TemporaryDirectory() as pool:
            workspace = TreeWorkspace(InMemoryArtifactStore(), Path(pool))
            edit = await workspace.edit(EMPTY_TREE)
            for path, text in self.files.items():
                await edit.write(path, text.encode())
            tree = await edit.commit()
            context = _Context(workspace, await workspace.edit(tree), tool)
            try:
                yield context, tree
            finally:
                for opened in context.opened:
                    await opened.close()
                await workspace.close()


def _asked(tool: ToolUnderTest, tree: Digest) -> ToolCall:
    return ToolCall(
        arguments=msgspec.Raw(canonical(tool.arguments)),
        attempt=1,
        call="r/s/1/0",
        key=digest_of(["r/s", tool.tool.spec.name]),
        run=RunId("r"),
        step=StepPath("s"),
        tool=tool.tool.spec.name,
        tree=tree,
    )
