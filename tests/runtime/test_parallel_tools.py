"""Several tool calls in one reply: neighbouring reads together, the rest in order, every result in its place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.script import ScriptedReply, ScriptedToolCall
from tenuto.adapters.models.scripted import ScriptedModel
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.models import ModelRequest
from tenuto.core.tools import Effect, ToolCall, ToolSpec
from tenuto.ports.tools import Tool, ToolContext, ToolOutput
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.testing.builders import agent, plan, prompt, raw, tool_spec


class Noted(Tool):
    """Notes when its calls begin and end. Later calls take less time, so results come in the reverse order."""

    def __init__(self, name: str, effect: Effect, notes: list[str]) -> None:
        self._spec = tool_spec(name, effect)
        self._notes = notes
        self._count = 0

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def invoke(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        name = f"{self._spec.name}{self._count}"
        self._count += 1
        self._notes.append(f"+{name}")
        await asyncio.sleep(max(0.0, 0.03 - 0.01 * self._count))
        self._notes.append(f"-{name}")
        return ToolOutput(value=raw(name))

    async def reconcile(self, call: ToolCall) -> ToolOutput | None:
        return None


async def conversation(
    directory: Path, calls: list[str], *, max_parallel: int = 8
) -> tuple[list[str], ModelRequest, str]:
    """A reply with these tool calls; the notes of the tools, what the model was asked next, the run's status."""
    notes: list[str] = []
    asks = tuple(ScriptedToolCall(name=name, id=f"id{n}") for n, name in enumerate(calls))
    model = ScriptedModel([ScriptedReply(tool_calls=asks, times=1), ScriptedReply(text="done")])
    clock = SystemClock()
    engine = PlanExecutionEngine(
        journal=InMemoryJournal(clock),
        artifacts=InMemoryArtifactStore(),
        models=model,
        tools=Toolbox([Noted("look", "read", notes), Noted("write", "workspace", notes)]),
        workspace=lambda contents: TreeWorkspace(contents, directory / ".pool"),
        clock=clock,
        max_parallel=max_parallel,
    )
    (directory / "repository").mkdir()
    team = {"worker": agent("worker", "look", "write")}
    try:
        state = await engine.execute(plan(prompt("a", agent="worker")), directory / "repository", "r", agents=team)
    finally:
        await engine.close()
    return notes, model.requests[-1], state.status


async def test_neighbouring_reads_go_together_and_the_rest_in_order(tmp_path: Path) -> None:
    notes, asked, status = await conversation(tmp_path, ["look", "look", "write", "look", "write"])
    assert status == "ok"
    first = notes[:4]
    assert sorted(first[:2]) == ["+look0", "+look1"]
    assert notes[4:] == ["+write0", "-write0", "+look2", "-look2", "+write1", "-write1"]
    told = [(message.tool_call_id, message.text) for message in asked.messages if message.role == "tool"]
    assert [identity for identity, _ in told] == [f"id{n}" for n in range(5)]
    assert ["look" in text for _, text in told] == [True, True, False, True, False]


async def test_results_stand_as_listed_whichever_came_first(tmp_path: Path) -> None:
    notes, asked, _ = await conversation(tmp_path, ["look"] * 3)
    assert [note for note in notes if note.startswith("-")] == ["-look2", "-look1", "-look0"]
    told = [message.text for message in asked.messages if message.role == "tool"]
    assert ["look0" in told[0], "look1" in told[1], "look2" in told[2]] == [True] * 3


@pytest.mark.parametrize("max_parallel", [1, 8])
async def test_a_tool_that_is_not_there_stops_nobody_else(tmp_path: Path, max_parallel: int) -> None:
    notes, asked, status = await conversation(tmp_path, ["look", "no_such_tool", "write"], max_parallel=max_parallel)
    assert status == "ok"
    told = [message.text for message in asked.messages if message.role == "tool"]
    assert "look0" in told[0]
    assert "there is no tool 'no_such_tool'" in told[1]
    assert "write0" in told[2]
    assert notes == ["+look0", "-look0", "+write0", "-write0"]
