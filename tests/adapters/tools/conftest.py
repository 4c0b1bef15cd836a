"""A step's tree over blobs in memory, and a way to call one tool on it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.canonical import canonical
from tenuto.core.ids import Digest, RunId, StepPath
from tenuto.core.repetition import Repetition
from tenuto.core.tools import Grants, ToolCall
from tenuto.ports.tools import Tool
from tenuto.ports.workspace import TreeEdit, WorkingDirectory

Answer = Callable[..., Coroutine[Any, Any, Any]]


class Blobs:
    """A blob store in memory."""

    def __init__(self) -> None:
        self._held: dict[Digest, bytes] = {}

    async def put_many(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        found = [Digest(hashlib.sha256(body).hexdigest()) for body in bodies]
        self._held.update(zip(found, bodies, strict=True))
        return found

    async def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        return {digest: self._held[digest] for digest in digests}

    async def missing(self, digests: Iterable[Digest]) -> Sequence[Digest]:
        return [digest for digest in digests if digest not in self._held]


class Context:
    """The context of calls on one tree."""

    def __init__(self, workspace: TreeWorkspace, files: TreeEdit) -> None:
        self.deadline_us = 20_000_000
        self.environment: Mapping[str, str] = {}
        self.files = files
        self.grants = Grants()
        self.repetition: Repetition | None = None
        self.secrets: Mapping[str, str] = {}
        self.opened: list[WorkingDirectory] = []
        self.workspace = workspace

    async def directory(self) -> WorkingDirectory:
        self.opened.append(await self.workspace.directory(await self.files.commit()))
        return self.opened[-1]


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    """A tree of three files: a/one.py, a/two.txt and b.bin."""
    start = tmp_path / "start"
    (start / "a").mkdir(parents=True)
    (start / "a" / "one.py").write_text("import os\n\nprint('one')\nprint('two')\n")
    (start / "a" / "two.txt").write_text("alpha\nbeta\nalpha")
    (start / "b.bin").write_bytes(b"\0\1\2")
    workspace = TreeWorkspace(Blobs(), tmp_path / "pool")
    made = Context(workspace, await workspace.edit(await workspace.capture(start)))
    yield made
    for one in made.opened:
        await one.close()
    await workspace.close()


@pytest.fixture
def call(context: Context) -> Answer:
    """Call a tool: (status, value)."""

    async def ask(tool: Tool, **arguments: Any) -> tuple[str, Any]:
        asked = ToolCall(
            arguments=msgspec.Raw(canonical(arguments)),
            attempt=1,
            call="r/s/1/0",
            key=Digest("0" * 64),
            run=RunId("r"),
            step=StepPath("s"),
            tool=tool.spec.name,
            tree=Digest("0" * 64),
        )
        output = await tool.invoke(asked, context)
        return output.status, msgspec.json.decode(output.value)

    return ask
