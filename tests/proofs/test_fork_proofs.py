"""Forks execute what must be executed and nothing else, counted by the server that they would ask.

The oracle knows nothing of step keys: the changed plan is run afresh with the parent's seed, and a step had to be
executed again where that run asked for something else than the parent did.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.openai import OpenAIAdapter
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.adapters.workspace.trees import EMPTY_TREE
from tenuto.core.agents import AgentSpec
from tenuto.core.ids import Digest, RunId, StepPath
from tenuto.core.plan import Defaults, InputSpec, Plan
from tenuto.core.state import ExecutionState
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.forking import Origin
from tenuto.runtime.replay import replay
from tenuto.testing.builders import agent, plan, prompt, raw
from tenuto.testing.model_server import CountingModelServer

DAGS = 200
IN_ONE_TEST = 10


@dataclass(frozen=True)
class Draft:
    """A plan to be: what each step says, and of what it is made."""

    needs: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    coarse: tuple[bool, ...]
    max_tokens: tuple[int, ...]
    each: frozenset[int] = frozenset()
    default_model: str = "openai:m?size=10..60"
    instructions: tuple[str, str] = ("Be brief.", "Be kind.")
    inputs: dict[str, Any] = field(default_factory=lambda: {"topic": "rivers", "items": ["x", "y", "z"]})
    left_out: tuple[StepPath, ...] = ()

    @classmethod
    def drawn(cls, draw: Random) -> Draft:
        count = draw.randint(3, 10)
        needs = tuple(tuple(f"s{j}" for j in range(i) if draw.random() < 0.35)[:3] for i in range(count))
        return cls(
            needs=needs,
            words=tuple(draw.choice(["hills", "${{ inputs.topic }}", "bridges"]) for _ in range(count)),
            coarse=tuple(draw.random() < 0.6 for _ in range(count)),
            max_tokens=tuple(draw.choice([200, 300]) for _ in range(count)),
            each=frozenset(i for i in range(count) if draw.random() < 0.2),
        )

    def plan(self) -> Plan:
        steps = []
        for i, needs in enumerate(self.needs):
            seen = "".join(f" ${{{{ steps.{need}.output }}}}" for need in needs)
            item = " ${{ item }}" if i in self.each else ""
            fields: dict[str, Any] = {"output": {"enum": ["yes", "no"]}} if self.coarse[i] else {}
            if item:
                fields |= {"foreach": "${{ inputs.items }}", "key": "${{ item }}"}
            text = f"Number {i} on {self.words[i]}{item}{seen}"
            who = ("x", "y", None)[i % 3]
            steps.append(prompt(f"s{i}", text, agent=who, needs=needs, max_tokens=self.max_tokens[i], **fields))
        inputs = {name: InputSpec(default=raw(value)) for name, value in self.inputs.items()}
        return plan(*steps, inputs=inputs, defaults=Defaults(model=self.default_model))

    def agents(self) -> dict[str, AgentSpec]:
        return {name: agent(name, instructions=text) for name, text in zip("xy", self.instructions, strict=True)}

    def changed(self, draw: Random) -> Draft:
        """With one or two of all the things changed that a user may change."""
        made = self
        for _ in range(draw.randint(1, 2)):
            made = made._change(draw)
        return made

    def _change(self, draw: Random) -> Draft:
        i = draw.randrange(len(self.needs))
        match draw.randrange(8):
            case 0:
                return replace(self, words=(*self.words[:i], f"{self.words[i]}!", *self.words[i + 1 :]))
            case 1:
                return replace(self, max_tokens=(*self.max_tokens[:i], 250, *self.max_tokens[i + 1 :]))
            case 2:
                return replace(self, instructions=("Be very brief.", self.instructions[1]))
            case 3:
                return replace(self, inputs={**self.inputs, "topic": "lakes"})
            case 4:
                return replace(self, inputs={**self.inputs, "items": ["x", "w", "z"]})
            case 5:
                return replace(
                    self,
                    needs=(*self.needs, (f"s{i}",)),
                    words=(*self.words, "new"),
                    coarse=(*self.coarse, False),
                    max_tokens=(*self.max_tokens, 200),
                )
            case 6:
                return replace(self, left_out=(*self.left_out, StepPath(f"s{i}")))
            case _:
                return self


class Bench:
    """An engine with a server behind it that counts what it is asked."""

    def __init__(self, server: CountingModelServer, engine: PlanExecutionEngine, tree: Digest, stores: Any) -> None:
        self.server = server
        self.engine = engine
        self.tree = tree
        self.stores = stores

    async def run(self, draft: Draft, name: str, **options: Any) -> tuple[ExecutionState, int]:
        """The state of a run of the draft, and how many calls it made by the server's count."""
        before = self.server.counts.calls
        made, inputs = draft.plan(), draft.inputs
        state = await self.engine.execute(
            made, self.tree, name, inputs=inputs, agents=draft.agents(), model=None, **options
        )
        assert state.status == "ok", state.why
        return state, self.server.counts.calls - before

    async def fork(self, draft: Draft, name: str, parent: str) -> tuple[ExecutionState, int]:
        return await self.run(draft, name, origin=Origin(run=RunId(parent), leave_out=draft.left_out))


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with CountingModelServer() as server:
        clock = SystemClock()
        model = OpenAIAdapter(server.base_url, clock=clock)
        journal = InMemoryJournal(clock)
        engine = PlanExecutionEngine(
            journal=journal,
            artifacts=InMemoryArtifactStore(),
            models=model,
            tools=Toolbox([]),
            workspace=lambda contents: TreeWorkspace(contents, Path("no-directories-here")),
            clock=clock,
            max_parallel=16,
            inbox_poll_us=None,
        )
        try:
            tree = await (await engine.workspace.edit(EMPTY_TREE)).commit()
            yield Bench(server, engine, tree, journal)
        finally:
            await engine.close()
            await model.close()


def calls_of(state: ExecutionState) -> dict[StepPath, list[Digest]]:
    """What each step asked for."""
    return {
        path: [fingerprint for _, fingerprint in sorted(step.fingerprints)]
        for path, step in state.steps.items()
        if step.fingerprints
    }


async def prove(seed: int) -> tuple[int, int, int]:
    """How many steps there were, had to be executed, and were saved by an early cut-off."""
    draw = Random(f"fork {seed}")
    draft = Draft.drawn(draw)
    changed = draft.changed(draw)
    async with bench() as made:
        parent, _ = await made.run(draft, "p")
        fresh, _ = await made.run(changed, "q", seed=parent.seed)
        fork, asked = await made.fork(changed, "f", "p")
        before, after = calls_of(parent), calls_of(fresh)
        must = {
            path
            for path, calls in after.items()
            if before.get(path) != calls or any(path == s or path.startswith(f"{s}[") for s in changed.left_out)
        }
        executed = {path for path, step in fork.steps.items() if step.fingerprints}
        assert executed == must, f"seed {seed}"
        assert asked == sum(len(after[path]) for path in must), "what was reused has cost no call"
        assert fork.result == fresh.result, "a fork and a full run come to the same"
        assert (await replay(made.stores, made.engine.contents, RunId("f"))).identical
        grandchild, none = await made.fork(replace(changed, left_out=()), "g", "f")
        assert none == 0
        assert grandchild.result == fork.result
        reached = must | {path for path in after if _below(changed, path, must)}
        return len(after), len(must), len(reached - must)


def _below(draft: Draft, path: StepPath, must: set[StepPath]) -> bool:
    """Whether a step needs, at any distance, one that was executed."""
    start = int(path.partition("[")[0][1:])
    stack, seen = list(draft.needs[start]), set()
    while stack:
        name = stack.pop()
        if any(done == name or done.startswith(f"{name}[") for done in must):
            return True
        if name not in seen:
            seen.add(name)
            stack += draft.needs[int(name[1:])]
    return False


async def test_a_fork_executes_what_a_fresh_run_would_ask_anew() -> None:
    found = [await prove(seed) for seed in range(IN_ONE_TEST)]
    assert any(saved for _, _, saved in found), "no wave was ever cut off"


@pytest.mark.battery
async def test_forks_of_200_random_plans_are_minimal() -> None:
    found = [await prove(seed) for seed in range(DAGS)]
    steps, must, saved = (sum(column) for column in zip(*found, strict=True))
    print(msgspec.json.encode({"plans": DAGS, "steps": steps, "executed": must, "cut off": saved}).decode())
    assert saved > DAGS // 10
