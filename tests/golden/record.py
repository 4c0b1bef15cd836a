"""Write the golden journals of the newest logic: python tests/golden/record.py (only where they are not there yet).

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
from tenuto.adapters.plans.produced import ProducedPlans
from tenuto.adapters.stores.memory import InMemoryJournal
from tenuto.adapters.stores.memory_artifacts import InMemoryArtifactStore
from tenuto.adapters.tools.changing import WriteFileTool, write_bytes
from tenuto.adapters.tools.listing import ListFilesTool
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.adapters.workspace.tree_workspace import TreeWorkspace
from tenuto.core.budget import Amount, Limits
from tenuto.core.content import Content
from tenuto.core.events.call import ModelCallRequested
from tenuto.core.events.run import RunForked, RunStarted
from tenuto.core.ids import Digest, Position, RunId, StepPath
from tenuto.core.logic import LOGIC_VERSION
from tenuto.core.merging import MergePolicy
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest, ToolCallAsk, Usage
from tenuto.core.plan import ApprovalWork, InputSpec, Plan, PlanWork, Repeat, Retry, Step, WaitWork
from tenuto.core.records import bodies
from tenuto.core.requests import AnswerCall
from tenuto.core.tools import Grants, ToolCall
from tenuto.errors import ModelCallError
from tenuto.ports.model import ModelProvider, OnText
from tenuto.ports.tools import Tool, ToolContext, ToolOutput
from tenuto.runtime.engine import PlanExecutionEngine
from tenuto.runtime.forking import Origin
from tenuto.runtime.loading import load_records
from tenuto.testing.builders import Functions, agent, command, plan, program, prompt, raw, tool_spec

HERE = Path(__file__).parent
CLASH = "clash"
HOUR_MS = 3_600_000
SPENT = Usage(input_tokens=9, output_tokens=9)


class Told(ModelProvider):
    """Answers the few questions of the scene `language`, and leaves all others to the mock."""

    def __init__(self, mock: LocalMockAdapter) -> None:
        self._mock = mock

    def profile(self, model: str) -> ModelProfile:
        return ModelProfile(name=model, grade="exact") if model == "told:" else self._mock.profile(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        if request.config.model != "told:":
            return await self._mock.complete(request, deadline_us=deadline_us, on_text=on_text)
        asked = request.messages[-1]
        if asked.text.startswith("Write a plan"):
            return ModelReply(
                text='{"steps": {"made": {"run": "made"}}}', usage=Usage(input_tokens=9, output_tokens=9)
            )
        if asked.text.startswith("Try"):
            raise ModelCallError("not today", kind="bad_request", retryable=False, sent=False)
        if asked.role == "tool":
            return ModelReply(text="Both lines stand.", usage=SPENT)
        wanted = ToolCallAsk(
            arguments=raw({"content": "one\ntwo\n", "path": f"{CLASH}.md"}), id="1", name="write_file"
        )
        return ModelReply(tool_calls=(wanted,), usage=Usage(input_tokens=9, output_tokens=9))

    async def close(self) -> None:
        await self._mock.close()


class SimulatedCommands(Tool):
    """Stands for `run`: `clash TEXT` writes a file, everything else does nothing."""

    spec = tool_spec("run", "workspace")

    async def invoke(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        command = json.loads(bytes(call.arguments))["command"]
        if command.startswith(CLASH):
            await write_bytes(context.files, f"{CLASH}.md", command.encode() + b"\n")
        return ToolOutput(value=raw({"exit_code": 0, "stderr": "", "stdout": "", "truncated": False}))

    async def reconcile(self, call: ToolCall) -> ToolOutput | None:
        return None


FLAKY = Retry(attempts=2, backoff_ms=1, tries=3)
AGENTS = {"worker": agent("worker", "list_files", "write_file", model="mock:worker?tools=2")}


async def review(ctx: Any, inputs: Any) -> Any:
    """A step program: a gather, an ask, a timer."""
    summary, risks = await ctx.gather(ctx.model("Summarise", inputs.text), ctx.model("Risks", inputs.text))
    await ctx.sleep(1)
    return await ctx.ask("worker", {"summary": summary, "risks": risks, "at": ctx.now() > 0})


async def asker(ctx: Any, inputs: Any) -> Any:
    """A step program that asks a person."""
    return await ctx.approve("Really?", details={"n": 1})


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


async def language(engine: PlanExecutionEngine, repository: Path) -> None:
    """Conditions, loops, waits, approvals, sub-plans of a file and of a step, a settled conflict, a fallback."""
    inner = plan(
        command("left", "left"),
        command("right", "right", needs=["left"], condition="steps.left.output.exit_code == 0"),
        inputs={"word": InputSpec()},
        outputs={"code": raw("${{ steps.right.output.exit_code }}")},
    )
    made = plan(
        prompt("draft", "Write a plan.", model="told:"),
        Step(name="do", needs=("draft",), tools=("run",), work=PlanWork(text="${{ steps.draft.output }}")),
        Step(name="sub", values={"word": raw("w")}, work=PlanWork(plan=inner), foreach=raw(["x", "y"])),
        command("loop", "again ${{ iteration }}", repeat=Repeat(max=4, until="iteration == 2")),
        Step(name="pause", work=WaitWork(duration="1ms")),
        command("never", needs=["pause"], condition="false"),
        prompt("try", "Try.", agent="small", fallback=("worker",), on_error="continue"),
        command("one", "clash one", reads=("*.md",)),
        command("two", "clash two"),
        command("meet", needs=["one", "two"], merge=MergePolicy(agent="settler", kind="agent")),
        Step(
            name="ship", needs=("meet",), values={"v": raw(1)}, work=ApprovalWork(ask="Ship?", expires_ms=3_600_000)
        ),
        program("asker", needs=["ship"]),
        merge=MergePolicy(kind="prefer", prefer="meet"),
        tokens=900_000,
    )
    agents = {
        **AGENTS,
        "small": agent("small", model="told:", max_tokens=1),
        "settler": agent("settler", "write_file", model="told:"),
    }
    state = await engine.execute(made, repository, "language", agents=agents)
    assert state.people, state.why
    for approved, details, note in ((True, Content.of({"v": 2}), ""), (False, None, "no")):
        asked = next(call.position for call in state.calls.values() if call.status == "asked")
        answer = AnswerCall(approved=approved, call=asked, details=details, note=note, who="somebody")
        await engine.request("language", answer)
        state = await engine.resume("language")
    assert state.status == "ok", state.why


async def items(engine: PlanExecutionEngine, repository: Path) -> None:
    """What agents and sub-plans may spend: logic 2 has it of each item, and beside a declared budget too."""
    inner = plan(prompt("one", "Say ${{ inputs.word }}"), inputs={"word": InputSpec()}, budget=Limits(model_calls=1))
    made = plan(
        prompt("each", "Do ${{ item }}", agent="thrifty", foreach=["a", "b", "c"], on_error="continue"),
        Step(
            name="sub",
            foreach=raw(["x", "y"]),
            on_error="continue",
            values={"word": raw("${{ item }}")},
            work=PlanWork(plan=inner),
        ),
        prompt("bound", "Go", agent="thrifty", budget=Limits(model_calls=2)),
        tokens=9_000,
    )
    agents = {"thrifty": agent("thrifty", limits=Limits(model_calls=1))}
    state = await engine.execute(made, repository, "items", agents=agents)
    assert state.status == "ok", state.why


async def forked(engine: PlanExecutionEngine, repository: Path) -> None:
    """A fork: results that are taken, a child of a program among them, and an outside effect that is asked about."""

    def made(line: str) -> Plan:
        return plan(
            prompt("facts", "Find three facts."),
            prompt("work", "Do ${{ item }}", agent="worker", foreach=["a", "b"], needs=["facts"]),
            program("review", values={"text": "a text"}),
            prompt("read", "Look around", agent="worker", needs=["work"], reads=("*.md",)),
            command("tell", line, needs=["review"], grants=Grants(network=True)),
            prompt("sum", "Sum up ${{ steps.work.output }}", needs=["work", "read", "tell"]),
            merge=MergePolicy(kind="prefer", prefer="work"),
            tokens=400_000,
        )

    state = await engine.execute(made("post 1"), repository, "base", agents=AGENTS)
    assert state.status == "ok", state.why
    left_out = StepPath("work[1]")
    origin = Origin(run=RunId("base"), changes=("steps.tell.run: post 2",), leave_out=(left_out,))
    await engine.execute(made("post 2"), repository, "forked", agents=AGENTS, origin=origin)
    await engine.request("forked", AnswerCall(approved=True, call=Position("tell/1/0"), who="tester"))
    state = await engine.resume("forked")
    assert state.status == "ok", state.why
    assert [path for path, step in state.steps.items() if step.reused] != []


SCENES: dict[str, Callable[[PlanExecutionEngine, Path], Awaitable[None]]] = {
    "team": team,
    "python": python,
    "budget": budget,
    "crash": crash,
    "language": language,
    "items": items,
    "forked": forked,
}


async def record(name: str, directory: Path) -> None:
    clock = SystemClock()
    journal = InMemoryJournal(clock)
    with tempfile.TemporaryDirectory() as repository:
        (Path(repository) / "readme.md").write_text("hello\n")
        engine = PlanExecutionEngine(
            journal=journal,
            artifacts=InMemoryArtifactStore(),
            models=Told(LocalMockAdapter(clock=clock)),
            tools=Toolbox([ListFilesTool(), WriteFileTool(), SimulatedCommands()]),
            workspace=lambda blobs: TreeWorkspace(blobs, Path(repository) / ".pool"),
            clock=clock,
            programs=Functions({"review": review, "asker": asker}),
            plans=ProducedPlans(),
        )
        await SCENES[name](engine, Path(repository))
        stored, records = await load_records(journal, engine.contents, RunId(name))
        named: set[Digest] = set()
        for item in records:
            named.update(content.digest for _, content in bodies(item.event) if content.length > 16 * 1024)
            if isinstance(item.event, RunStarted):
                named.update((item.event.plan, item.event.registry, item.event.lock))
            if isinstance(item.event, RunForked):
                named.add(item.event.reuse)
            if isinstance(item.event, ModelCallRequested):
                named.update(part.digest for part in item.event.parts)
        named -= set(await engine.contents.missing(sorted(named)))
        found = await engine.contents.get_many(sorted(named))
        await engine.close()
    blobs = {digest: base64.b64encode(found[digest]).decode() for digest in sorted(found)}
    lines = [json.dumps({"blobs": blobs}, sort_keys=True), *(row.body.decode() for row in stored)]
    (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


async def main() -> None:
    directory = HERE / f"v{LOGIC_VERSION}"
    directory.mkdir(exist_ok=True)
    for name in SCENES:
        if not (directory / f"{name}.jsonl").exists():
            await record(name, directory)


if __name__ == "__main__":
    asyncio.run(main())
