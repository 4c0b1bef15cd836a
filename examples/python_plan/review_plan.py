"""A plan that is Python only: two lanes side by side, an agent that is asked, a tool, a replay.

python review_plan.py DIRECTORY
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from tenuto import (
    AgentSpec,
    AskError,
    FileArtifactStore,
    Limits,
    LocalMockAdapter,
    Plan,
    PlanExecutionEngine,
    PromptWork,
    PythonPrograms,
    SqliteJournal,
    Step,
    SystemClock,
    Toolbox,
    TreeWorkspace,
    UsesWork,
    report,
    tool,
)
from tenuto.core.ids import RunId
from tenuto.ports.workspace import TreeEdit
from tenuto.runtime.replay import replay

HERE = Path(__file__).parent
VERDICT = {"enum": ["keep", "split", "unclear"]}


@tool(effect="read")
async def measure(files: TreeEdit) -> list[dict[str, Any]]:
    """The three longest Python files, with their lines."""
    entries = [entry for entry in await files.entries() if entry.path.endswith(".py")]
    found = [{"path": entry.path, "lines": (await files.read(entry.path)).count(b"\n")} for entry in entries]
    return sorted(found, key=lambda one: (-one["lines"], one["path"]))[:3]


@tool(effect="workspace")
async def note(text: str, files: TreeEdit) -> str:
    """Write LENGTHS.md."""
    await files.write("LENGTHS.md", text.encode())
    return "LENGTHS.md"


async def judge(ctx: Any, inputs: Any) -> list[dict[str, Any]]:
    """One lane for each file: two opinions, and a referee where they differ."""
    del inputs

    async def one(file: dict[str, Any]) -> dict[str, Any]:
        question = f"{file['path']} has {file['lines']} lines. Keep it, or split it?"
        first = await ctx.model(question, "Answer as its author.", output=VERDICT, max_tokens=20)
        second = await ctx.model(question, "Answer as a newcomer.", output=VERDICT, max_tokens=20)
        try:
            verdict = (
                first
                if first == second
                else await ctx.ask("referee", {**file, "said": [first, second]}, output=VERDICT)
            )
        except AskError as error:
            verdict = f"nobody could say ({error.kind})"
        return {**file, "verdict": verdict}

    judged = await ctx.gather(*(one(file) for file in await ctx.tool("measure")))
    lines = [f"- `{one['path']}`: {one['lines']} lines, {one['verdict']}" for one in judged]
    await ctx.tool("note", text="# Long files\n\n" + "\n".join(lines) + "\n")
    return judged


PLAN = Plan(
    name="lengths",
    budget=Limits(tokens=40_000, model_calls=12),
    steps=(
        Step(name="judge", work=UsesWork(target="python:review_plan:judge")),
        Step(
            name="sum_up",
            needs=("judge",),
            work=PromptWork(agent="referee", text="Sum up in a sentence: ${{ steps.judge.output }}"),
        ),
    ),
    outputs={
        "files": msgspec.Raw(b'"${{ steps.judge.output }}"'),
        "summary": msgspec.Raw(b'"${{ steps.sum_up.output }}"'),
    },
)
REFEREE = AgentSpec(name="referee", instructions="You decide between two opinions.", max_tokens=60, iterations_max=3)


async def main(repository: Path) -> None:
    with tempfile.TemporaryDirectory() as store:
        clock = SystemClock()
        journal = SqliteJournal(Path(store) / "journal.db", clock)
        engine = PlanExecutionEngine(
            journal=journal,
            artifacts=FileArtifactStore(Path(store) / "artifacts"),
            models=LocalMockAdapter(),
            tools=Toolbox([measure, note]),
            workspace=lambda contents: TreeWorkspace(contents, Path(store) / "pool"),
            clock=clock,
            programs=PythonPrograms([HERE]),
        )
        try:
            state = await engine.execute(PLAN, repository, "lengths-1", agents={"referee": REFEREE}, seed="1")
            told = report(state)
            print(f"{told['status']}: {told['budget']['spent']['model_calls']} model calls, grade {told['grade']}")
            for one in told["outputs"]["files"]:
                print(f"  {one['path']}: {one['lines']} lines, {one['verdict']}")
            found = await replay(journal, engine.contents, RunId("lengths-1"), PythonPrograms([HERE]))
            print(f"replay: {'identical' if found.identical and not found.unchecked else 'diverged'}")
        finally:
            await engine.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
