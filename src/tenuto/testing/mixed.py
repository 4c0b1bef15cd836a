"""A plan that uses everything at once, with tools that keep to the simulator: for crash and timing proofs."""

from __future__ import annotations

from typing import Any

from tenuto.adapters.tools.functions import FunctionTool, tool
from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Defaults, Plan
from tenuto.ports.workspace import TreeEdit
from tenuto.runtime.context import AskError
from tenuto.testing.builders import StepFunction, agent, command, plan, program, prompt
from tenuto.testing.sim import Simulation

__all__ = ["FILES", "mixed_plan", "mixed_simulation"]

FILES = {"README.md": "# Things\n", "src/a.py": "a = 1\n", "src/b.py": "b = 2\n"}


@tool(effect="read")
async def look(path: str, files: TreeEdit) -> str:
    """Look at a file."""
    entries = [entry.path for entry in await files.entries()]
    return f"{path}: {len(entries)} files"


@tool(effect="workspace")
async def note(text: str, files: TreeEdit) -> str:
    """Write a note into a file of its own name."""
    name = f"notes/{abs(hash_of(text)) % 10_000}.txt"
    await files.write(name, text.encode())
    return name


@tool(effect="idempotent")
async def post(message: str) -> int:
    """Tell the world something."""
    return len(message)


@tool(effect="workspace", name="run")
async def run_command(command: str, files: TreeEdit) -> dict[str, Any]:
    """A command that appends its own text to a file named after it."""
    name = command.split()[-1]
    await files.write(f"out/{name}.txt", command.encode())
    return {"exit_code": 0, "stderr": "", "stdout": command}


def hash_of(text: str) -> int:
    """A number that is the same in every process."""
    return sum((i + 1) * byte for i, byte in enumerate(text.encode()))


async def survey(ctx: Any, inputs: Any) -> Any:
    """Lanes that call models, tools and an agent; then an agent; then a tool."""

    async def deep(topic: str) -> Any:
        first = await ctx.model("Outline", topic)
        left, right = await ctx.gather(ctx.model("Left of", first), ctx.tool("look", path=topic))
        return {"left": left, "right": right}

    async def asking() -> Any:
        try:
            return await ctx.ask("worker", {"topic": inputs["topic"]})
        except AskError as error:
            return error.kind

    found = await ctx.gather(deep("x"), asking(), ctx.tool("post", message="survey"), ctx.sleep(20))
    verdict = await ctx.ask("critic", found)
    await ctx.tool("note", text=str(verdict))
    return {"found": found, "verdict": verdict}


def agents() -> tuple[AgentSpec, ...]:
    return (
        agent("worker", "look", "note", "post", instructions="Work."),
        agent("critic", instructions="Judge.", at_once=2),
    )


def tools() -> tuple[FunctionTool, ...]:
    return look, note, post, run_command


def mixed_plan(width: int = 6, depth: int = 4) -> Plan:
    """About `2 * depth + width + 8` steps: a chain, a fan, a foreach, a program, commands, joins.

    `width` items of a foreach, `depth` pairs of a command and a prompt.
    """
    steps = [
        prompt("plan", "Plan the work.", agent="worker"),
        prompt(
            "each",
            "Do ${{ item }} of ${{ steps.plan.output }}",
            agent="worker",
            needs=["plan"],
            foreach=[f"part {i}" for i in range(width)],
            max_parallel=3,
        ),
        program("survey", needs=["plan"], values={"topic": "${{ steps.plan.output }}"}),
    ]
    before = "plan"
    for i in range(depth):
        steps.append(command(f"make{i}", f"make part{i}", needs=[before]))
        steps.append(prompt(f"read{i}", f"Read part {i}.", agent="critic", needs=[f"make{i}"]))
        before = f"make{i}"
    ends = ["each", "survey", *(f"read{i}" for i in range(depth)), before]
    steps.append(prompt("join", "Sum up.", needs=ends, agent="worker"))
    steps.append(command("check", "check all", needs=["join"]))
    return plan(*steps, defaults=Defaults(model="mock:mix?tools=1&calls=2&size=80"))


FUNCTIONS: dict[str, StepFunction] = {"survey": survey}


def mixed_simulation(width: int = 6, depth: int = 4, **options: Any) -> Simulation:
    """A simulation of `mixed_plan`; `options` are those of `Simulation`."""
    return Simulation(
        options.pop("plan", None) or mixed_plan(width, depth),
        agents=agents(),
        files=FILES,
        functions=FUNCTIONS,
        tools=tools(),
        **options,
    )
