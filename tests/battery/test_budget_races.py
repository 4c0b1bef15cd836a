"""Agents race for one token limit against a server that counts by itself, and fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE
from tenuto.core.budget import Limits
from tenuto.core.plan import Defaults, Retry
from tenuto.core.state import ExecutionState
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.testing.builders import plan, prompt
from tenuto.testing.model_server import CountingModelServer

FAULTS = ("429%5", "500%7", "cut%11")


async def race(server: CountingModelServer, *, agents: int, tokens: int) -> ExecutionState:
    clock = SystemClock()
    model = OpenAIAdapter(server.base_url, clock=clock)
    engine = PlanExecutionEngine(
        journal=InMemoryJournal(clock),
        artifacts=InMemoryArtifactStore(),
        models=model,
        tools=Toolbox([]),
        workspace=lambda contents: TreeWorkspace(contents, Path("no-directories-here")),
        clock=clock,
        max_parallel=agents,
        inbox_poll_us=None,
    )
    steps = [prompt(f"agent{i}", f"Say something about {i}.", max_tokens=200) for i in range(agents)]
    steps.append(prompt("sum", "Sum up.", needs=[step.name for step in steps], max_tokens=200))
    racing = plan(
        *steps,
        budget=Limits(tokens=tokens),
        defaults=Defaults(
            model="openai:m?size=40..400",
            on_error="continue",
            retry=Retry(attempts=2, backoff_ms=1, tries=3),
        ),
    )
    try:
        tree = await (await engine.workspace.edit(EMPTY_TREE)).commit()
        return await engine.execute(racing, tree, "race")
    finally:
        await engine.close()
        await model.close()


@pytest.mark.parametrize("agents", [1, 8, pytest.param(64, marks=pytest.mark.battery)])
@pytest.mark.parametrize("scarce", [False, True])
async def test_no_race_overspends(agents: int, *, scarce: bool) -> None:
    tokens = (agents + 1) * (110 if scarce else 5_000)
    async with CountingModelServer(seed=agents, faults=FAULTS) as server:
        state = await race(server, agents=agents, tokens=tokens)
        counted = server.counts.input_tokens + server.counts.output_tokens
        calls = server.counts.counted
    assert state.status in ("ok", "exhausted"), state.why
    assert state.spent.tokens <= tokens
    assert counted <= state.spent.tokens
    listed = sum(doubtful.amount.tokens for doubtful in state.doubtful)
    assert state.spent.tokens - counted <= listed, "what the ledger has more than the server is listed"
    assert state.in_doubt.tokens == listed
    assert state.spent.model_calls >= calls
    if scarce:
        assert any(step.refusals for step in state.steps.values()), "the limit was never felt"
