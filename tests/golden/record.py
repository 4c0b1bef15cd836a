"""Write the golden journals of the current format: python tests/golden/record.py (only for a new format version).

Each file is one run as JSON lines: first `{"blobs": {digest: base64}}` with every body its records name, then the
records exactly as stored. Released files are never written again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tenuto.adapters.clock import SystemClock
from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.changing import WriteFileTool
from tenuto.adapters.tools.listing import ListFilesTool
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.budget import Amount
from tenuto.core.events.call import ModelCallRequested
from tenuto.core.events.run import RunStarted
from tenuto.core.ids import Digest, RunId
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import Retry
from tenuto.core.records import bodies
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.loading import load_records
from tenuto.testing.builders import Functions, agent, plan, program, prompt

HERE = Path(__file__).parent
FLAKY = Retry(attempts=2, backoff_ms=1, tries=3)
AGENTS = {"worker": agent("worker", "list_files", "write_file", model="mock:worker?tools=2")}


async def review(ctx: Any, inputs: Any) -> Any:
    """A step program: a gather, an ask, a timer."""
    summary, risks = await ctx.gather(ctx.model("Summarise", inputs.text), ctx.model("Risks", inputs.text))
    await ctx.sleep(1)
    return await ctx.ask("worker", {"summary": summary, "risks": risks, "at": ctx.now() > 0})


async def team(engine: PlanExecutionEngine, repository: Path) -> None:
    made = plan(
        prompt("facts", "Find three facts."),
        prompt("work", "Do ${{ item }}", agent="worker", foreach=["a", "b", "c"], needs=["facts"], max_parallel=2),
        prompt(
            "flaky",
            "Try",
            model="mock:flaky?fail=1&retry_after_ms=5",
            retry=Retry(attempts=3, backoff_ms=1, tries=3),
            on_error="continue",
        ),
        prompt("sum", "Sum up ${{ steps.work.output }} ${{ steps.flaky.status }}", needs=["work", "flaky"]),
        merge=MergePolicy(kind="prefer", prefer="work"),
    )
    await engine.execute(made, repository, "team", agents=AGENTS)


async def python(engine: PlanExecutionEngine, repository: Path) -> None:
    made = plan(program("review", values={"text": "a text with é and 1.5 in it"}), tokens=100_000)
    await engine.execute(made, repository, "python", agents=AGENTS)


async def budget(engine: PlanExecutionEngine, repository: Path) -> None:
    made = plan(*(prompt(name, f"Write {name}", max_tokens=400) for name in ("a", "b", "c")), tokens=540)
    state = await engine.execute(made, repository, "budget")
    assert state.status == "exhausted", state.status
    await engine.resume("budget", add_budget=Amount(tokens=2_000))


async def crash(engine: PlanExecutionEngine, repository: Path) -> None:
    made = plan(*(prompt(f"s{i}", f"Write {i}", model="mock:slow?latency_ms=100") for i in range(4)))
    running = asyncio.ensure_future(engine.execute(made, repository, "crash"))
    await asyncio.sleep(0.05)
    engine.stop()
    await running
    await engine.resume("crash")


SCENES: dict[str, Callable[[PlanExecutionEngine, Path], Awaitable[None]]] = {
    "team": team,
    "python": python,
    "budget": budget,
    "crash": crash,
}


async def record(name: str, directory: Path) -> None:
    clock = SystemClock()
    journal = InMemoryJournal(clock)
    with tempfile.TemporaryDirectory() as repository:
        (Path(repository) / "readme.md").write_text("hello\n")
        engine = PlanExecutionEngine(
            journal=journal,
            artifacts=InMemoryArtifactStore(),
            models=LocalMockAdapter(clock=clock),
            tools=Toolbox([ListFilesTool(), WriteFileTool()]),
            workspace=lambda blobs: TreeWorkspace(blobs, Path(repository) / ".pool"),
            clock=clock,
            programs=Functions({"review": review}),
        )
        await SCENES[name](engine, Path(repository))
        stored, records = await load_records(journal, engine.contents, RunId(name))
        named: set[Digest] = set()
        for item in records:
            named.update(content.digest for _, content in bodies(item.event) if content.length > 16 * 1024)
            if isinstance(item.event, RunStarted):
                named.update((item.event.plan, item.event.registry, item.event.lock))
            if isinstance(item.event, ModelCallRequested):
                named.update(part.digest for part in item.event.parts)
        named -= set(await engine.contents.missing(sorted(named)))
        found = await engine.contents.get_many(sorted(named))
        await engine.close()
    blobs = {digest: base64.b64encode(found[digest]).decode() for digest in sorted(found)}
    lines = [json.dumps({"blobs": blobs}, sort_keys=True), *(row.body.decode() for row in stored)]
    (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


async def main() -> None:
    directory = HERE / "v1"
    directory.mkdir(exist_ok=True)
    for name in SCENES:
        if not (directory / f"{name}.jsonl").exists():
            await record(name, directory)


if __name__ == "__main__":
    asyncio.run(main())
