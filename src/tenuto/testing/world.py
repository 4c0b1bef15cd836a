"""Random plans and a world that answers them, both functions of a seed.

What a `World` answers to a call depends on the seed, the call's position and how often it failed, and on nothing
else: not on time, order or crashes. So two runs that meet the same world must come to the same result.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.core.canonical import digest
from tenuto.core.commands import CallModel, CallTool, LoadPlan, MergeTrees
from tenuto.core.frames import read_reply
from tenuto.core.ids import Position
from tenuto.core.merging import MergeConflict
from tenuto.core.people import question_of
from tenuto.core.permissions import declared_approval
from tenuto.core.plan import Plan, Retry, Step
from tenuto.core.state import AgentFrame
from tenuto.core.tools import ToolSpec
from tenuto.runtime.context import AskError
from tenuto.testing.builders import StepFunction, agent, command, plan, program, prompt, tool_spec
from tenuto.testing.kernel import KernelRun, asks

__all__ = ["AGENTS", "FUNCTIONS", "TOOLS", "World", "play", "random_plan", "step", "waiting"]

TOOLS: tuple[ToolSpec, ...] = (
    tool_spec("look", "read"),
    tool_spec("write", "workspace"),
    tool_spec("post", "idempotent"),
    tool_spec("run", "workspace"),
)
AGENTS: tuple[AgentSpec, ...] = (
    agent("plain"),
    agent("worker", "look", "write", "post", iterations_max=4),
    agent("shy", "look", at_once=1),
    agent("poor", "look", limits=Limits(model_calls=2)),
)


async def fan(ctx: Any, _inputs: Any) -> Any:
    """Three lanes, one of which asks an agent; then a tool."""

    async def lane(number: int) -> Any:
        if number == 1:
            try:
                return await ctx.ask("worker", f"task {number}")
            except AskError as error:
                return f"failed: {type(error).__name__}"
        first = await ctx.model(f"lane {number}")
        return await ctx.model(first, "again")

    values = await ctx.gather(lane(0), lane(1), lane(2), ctx.sleep(50))
    await ctx.tool("write", path="sum.txt", text=str(values))
    return values


async def nest(ctx: Any, _inputs: Any) -> Any:
    """A gather in a gather, whose lanes change trees."""

    async def inner(name: str) -> Any:
        return await ctx.gather(ctx.tool("write", path=f"{name}.txt"), ctx.model(name), ctx.tool("write", n=name))

    left, right = await ctx.gather(inner("left"), inner("right"))
    return {"left": left, "right": right}


async def brittle(ctx: Any, _inputs: Any) -> Any:
    """Fails unless the model says something of even length."""
    text = await ctx.model("Even or odd?")
    if len(text) % 2:
        raise RuntimeError("odd")
    return await ctx.ask("plain", {"say": text})


async def lonely(ctx: Any, _inputs: Any) -> Any:
    """Asks an agent that does not exist, and goes on."""
    try:
        return await ctx.ask("nobody", "anything")
    except AskError as error:
        return await ctx.model(str(error), agent="poor")


FUNCTIONS: Mapping[str, StepFunction] = {"fan": fan, "nest": nest, "brittle": brittle, "lonely": lonely}


def random_plan(seed: int, *, budget: bool | None = None) -> Plan:
    """A plan of 2 to 8 steps of every kind. `budget`: whether tokens are scarce (None: sometimes)."""
    draw = random.Random(f"plan {seed}")
    names = [f"s{i}" for i in range(draw.randint(2, 8))]
    placed = names[:]
    if draw.random() < 0.3:
        draw.shuffle(placed)
    steps: dict[str, Step] = {}
    for i, name in enumerate(placed):
        needs = [n for n in placed[:i] if draw.random() < 0.4][:3]
        steps[name] = _random_step(draw, name, needs)
    ordered = tuple(steps[name] for name in names)
    scarce = draw.random() < 0.5 if budget is None else budget
    limits: dict[str, int] = {"tokens": draw.randint(300, 4_000)} if scarce else {}
    if scarce and draw.random() < 0.3:
        limits["tool_calls"] = draw.randint(2, 12)
    return plan(*ordered, budget=Limits(**limits))


def _random_step(draw: random.Random, name: str, needs: list[str]) -> Step:
    common: dict[str, Any] = {"needs": needs}
    if draw.random() < 0.4:
        common["on_error"] = draw.choice(["continue", "skip"])
    if draw.random() < 0.4:
        common["retry"] = Retry(attempts=draw.randint(1, 3), backoff_ms=10, tries=draw.randint(1, 3))
    if draw.random() < 0.15:
        common["budget"] = Limits(tokens=draw.randint(200, 900))
    kind = draw.choice(["prompt", "prompt", "prompt", "command", "program"])
    if kind != "program" and draw.random() < 0.3:
        common["foreach"] = [f"i{n}" for n in range(draw.randint(0, 4))]
        if draw.random() < 0.5:
            common["max_parallel"] = draw.randint(1, 2)
    if kind == "command":
        return command(name, f"make {name} ${{{{ item }}}}" if "foreach" in common else f"make {name}", **common)
    if kind == "program":
        return program(name, draw.choice(sorted(FUNCTIONS)), **common)
    if draw.random() < 0.2:
        common["output"] = {"type": "object"}
    seen = "".join(f" ${{{{ steps.{n}.output }}}}" for n in needs)
    item = " ${{ item }}" if "foreach" in common else ""
    who = draw.choice([None, *(a.name for a in AGENTS)])
    return prompt(name, f"Do {name}.{item}{seen}", agent=who, max_tokens=draw.randint(20, 120), **common)


class World:
    """Answers calls, questions and requests for plans. `trouble` is the share of them that fail in some way.

    `produce` makes the plan that a step has produced, of its source and of how deep it stands.
    """

    def __init__(
        self, seed: int, *, trouble: float = 0.25, produce: Callable[[str, int], Plan] | None = None
    ) -> None:
        self._seed = seed
        self._trouble = trouble
        self._produce = produce
        self._lost: set[str] = set()

    def answer(self, run: KernelRun, name: str) -> list[str]:
        """Answer the command or fire the timer of that name."""
        if name in run.state.timers:
            return run.fire(name)
        command = run.commands[name]
        call = run.state.calls[Position(name)]
        draw = random.Random(f"{self._seed} {name} {call.failures}")
        match command:
            case CallModel():
                return self._model(run, name, command, draw)
            case CallTool(event):
                return self._tool(run, name, str(event.tree), event.effect, draw)
            case MergeTrees(event):
                found = digest(repr(event.plan).encode())
                if random.Random(f"{self._seed} {found}").random() < self._trouble / 3:
                    return run.merged(name, None, MergeConflict(path="f", steps=("a", "b")))
                return run.merged(name, f"T{found[:8]}", whole=f"W{found[:8]}" if event.plan.reads else None)
            case LoadPlan(event) if self._produce is not None:
                if draw.random() < self._trouble:
                    return run.loaded(name, None, "steps: a plan needs at least one step")
                depth = sum(not part.isdigit() for part in event.call.split("/"))
                return run.loaded(name, self._produce(f"{self._seed} {event.source.value}", depth))
            case _:
                raise AssertionError(f"the world has no answer to {command}")

    def waited_for(self, run: KernelRun) -> list[str]:
        """The questions that a person will answer: all but those whose time runs out."""
        return sorted(call.position for call in run.state.calls.values() if self.tells(run, call.position))

    def tells(self, run: KernelRun, name: str) -> bool:
        """Whether a person answers this question, rather than letting its time run out."""
        call = run.state.calls.get(Position(name))
        if call is None or not call.asks_person:
            return False
        return name not in run.state.timers or random.Random(f"{self._seed} {name} in time").random() < 0.6

    def tell(self, run: KernelRun, name: str) -> list[str]:
        """A person answers a question, or says what became of a call in doubt.

        A call whose tool did not come back was made; one that a crash took away was not. What a fork would do again
        it may do.
        """
        draw = random.Random(f"{self._seed} {name} told")
        call = run.state.calls[Position(name)]
        if call.status == "doubt":
            lost = name in self._lost
            return run.resolve(name, done=lost, result={"resolved": True} if lost else None)
        question = question_of(run.state, call)
        asked_anyway = question.tool and declared_approval(run.state, run.state.steps[call.path], question.tool)
        if question.repeats is not None and not asked_anyway:
            return run.answer(name, approved=True)
        details = {"edited": draw.randint(0, 9)} if draw.random() < 0.3 else None
        return run.answer(
            name,
            approved=draw.random() < 0.7,
            details=details,
            note=draw.choice(["", "because"]),
            asked_at_us=min(run.at, run.state.timers.get(name, run.at)),
        )

    def _model(self, run: KernelRun, name: str, command: CallModel, draw: random.Random) -> list[str]:
        if draw.random() < self._trouble:
            return run.refused(name, draw.choice([429, 500, 400]))
        usage = (draw.randint(1, 30), draw.randint(1, 19))
        step = run.state.steps[run.state.calls[Position(name)].path]
        offered = [tool.name for tool in command.tools]
        talked = 0
        if isinstance(step.frame, AgentFrame):
            talked = sum(bool(read_reply(e.reply).tool_calls) for e in step.frame.exchanges)
        if offered and talked < 2 and draw.random() < 0.6:
            wanted = [draw.choice([*offered, "nonsense"]) for _ in range(draw.randint(1, 3))]
            return run.reply(name, "", *(asks(tool, n=draw.randint(0, 1)) for tool in wanted), usage=usage)
        if command.output_schema is not None:
            if draw.random() < self._trouble:
                return run.reply(name, "no json", usage=usage, violations=("$: not JSON",))
            return run.reply(name, '{"a":1}', usage=usage)
        return run.reply(name, f"said {draw.randint(0, 99)}", usage=usage)

    def _tool(self, run: KernelRun, name: str, tree: str, effect: str, draw: random.Random) -> list[str]:
        if draw.random() < self._trouble / 2:
            self._lost.add(name)
            return run.tool_lost(name, retryable=draw.random() < 0.8)
        if draw.random() < self._trouble / 2:
            return run.returned(name, {"error": "it did not work"}, status="error")
        after = tree
        if effect == "workspace" and draw.random() < 0.8:
            after = "T" + digest(f"{tree} {name}".encode())[:8]
        return run.returned(name, {"exit_code": 0, "stdout": f"{draw.randint(0, 9)}", "stderr": ""}, tree=after)


def play(
    run: KernelRun,
    world: World,
    schedule: random.Random,
    *,
    crashes: float = 0.0,
    pauses: float = 0.0,
    turns: int = 5_000,
) -> None:
    """Drive a run until nothing is open: whatever is under way is answered in the order of `schedule`, people too.

    `crashes` is the chance of a kill before each answer; the run is resumed at once. `pauses` is that of a pause,
    into which all outcomes of what is under way fall before the run is resumed.
    """
    if not run.entries:
        run.start()
    for _ in range(turns):
        under_way = waiting(run, world)
        if not under_way:
            return
        if crashes and schedule.random() < crashes:
            run.resume()
            continue
        if pauses and run.state.status == "running" and schedule.random() < pauses:
            run.pause()
            for name in schedule.sample(sorted(run.commands), len(run.commands)):
                if name not in run.state.timers:
                    world.answer(run, name)
            run.resume()
            continue
        step(run, world, schedule.choice(under_way))
    raise AssertionError(f"the run did not end in {turns} turns")


def waiting(run: KernelRun, world: World) -> list[str]:
    """What can come next, in a fixed order: outcomes, people's answers, ends of questions, and the next timer."""
    state = run.state
    calls = sorted(run.commands.keys() - set(state.timers))
    people = world.waited_for(run)
    ends = sorted(name for name in state.timers if name in state.calls and state.calls[Position(name)].asks_person)
    expiring = [name for name in ends if name not in people]
    timers = sorted(set(state.timers) - set(ends), key=lambda name: (state.timers[name], name))
    return [*calls, *people, *expiring, *timers[:1]]


def step(run: KernelRun, world: World, name: str) -> list[str]:
    """One thing of `waiting` comes."""
    return world.tell(run, name) if world.tells(run, name) else world.answer(run, name)
