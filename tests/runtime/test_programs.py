"""Python step programs in the engine: lanes, children, errors, and what they may not do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenuto.adapters.models.script import ScriptedReply
from tenuto.adapters.models.scripted import ScriptedModel
from tenuto.adapters.tools.functions import tool
from tenuto.core.events.program import StepAdvanced
from tenuto.core.ids import StepPath
from tenuto.core.plan import Retry
from tenuto.core.state import ExecutionState
from tenuto.errors import DivergedError
from tenuto.ports.workspace import TreeEdit
from tenuto.runtime.context import AskError
from tenuto.testing.builders import agent, plan, program
from tenuto.testing.sim import Simulation


@tool(effect="workspace")
async def write(path: str, text: str, files: TreeEdit) -> str:
    """Write a file."""
    await files.write(path, text.encode())
    return path


@tool(effect="read")
async def fails() -> str:
    """Always reports an error."""
    raise RuntimeError("no luck")


def simulate(function: Any, *, retry: Retry | None = None, **options: Any) -> Simulation:
    return Simulation(
        plan(program("p", retry=retry, **options.pop("step", {}))),
        agents=[agent("critic")],
        functions={"p": function},
        tools=[write, fails],
        model=ScriptedModel([ScriptedReply(text="fine")]),
        **options,
    )


def output(state: ExecutionState) -> Any:
    assert state.status == "ok", state.why
    content = state.steps[StepPath("p")].output
    return None if content is None else content.value


def test_lanes_children_sleep_and_tools() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        async def lane() -> Any:
            await ctx.sleep(1_000)
            return await ctx.tool("write", path="a", text="1")

        values = await ctx.gather(ctx.model("x"), lane(), ctx.ask("critic", "judge"))
        return [*values, await ctx.gather(), ctx.random().random() == ctx.random().random()]

    sim = simulate(p)
    assert output(sim.run()) == ["fine", "a", "fine", [], False]


def test_a_tools_error_is_an_exception_with_a_kind() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        try:
            await ctx.tool("fails")
        except AskError as error:
            return [error.kind, str(error)]

    assert output(simulate(p).run()) == ["tool", "RuntimeError: no luck"]


@pytest.mark.parametrize("how", ["ask", "model", "lane"])
def test_an_unknown_agent_is_a_failure_to_handle(how: str) -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        try:
            if how == "ask":
                await ctx.ask("nobody", "x")
            elif how == "model":
                await ctx.model("x", agent="nobody")
            else:
                await ctx.gather(ctx.model("y"), ctx.ask("nobody", "x"))
        except AskError as error:
            return error.kind

    assert output(simulate(p).run()) == "agent"


@pytest.mark.parametrize(
    ("raised", "message"), [(RuntimeError("boom"), "RuntimeError: boom"), (SystemExit(3), "SystemExit: 3")]
)
def test_what_a_program_raises_fails_its_step(raised: BaseException, message: str) -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        await ctx.model("x")
        raise raised

    state = simulate(p).run()
    assert state.status == "failed"
    error = state.steps[StepPath("p")].error
    assert error is not None
    assert error.message == message


def test_foreign_awaits_are_refused_with_the_way_out() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        await asyncio.sleep(1)

    state = simulate(p).run()
    assert "use ctx.sleep" in state.why


def test_a_value_that_is_no_json_fails_the_step() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        return object()

    assert "no JSON value" in simulate(p).run().why


def test_no_coroutine_function_is_refused() -> None:
    def p(ctx: Any, _inputs: Any) -> Any:
        return 1

    assert "async def" in simulate(p).run().why


def test_the_first_failing_lane_in_listed_order_speaks() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        async def slow() -> Any:
            await ctx.sleep(5_000)
            raise ValueError("first listed")

        async def quick() -> Any:
            raise ValueError("first to fail")

        await ctx.gather(slow(), quick())

    assert "first listed" in simulate(p).run().why


def test_an_attempt_is_made_again_by_policy() -> None:
    tried: list[int] = []

    async def p(ctx: Any, _inputs: Any) -> Any:
        tried.append(ctx.attempt)
        text = await ctx.model("x")
        if ctx.attempt < 3:
            raise RuntimeError(text)
        return ctx.attempt

    assert output(simulate(p, retry=Retry(attempts=3, backoff_ms=10)).run()) == 3
    assert tried == [1, 2, 3]


def test_a_program_with_a_finally_that_awaits_ends_with_its_engine() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        try:
            return await ctx.model("x")
        finally:
            await ctx.tool("write", path="a", text="cleanup")

    sim = simulate(p, latency_us=(9_000, 9_000))

    async def cancelled(engine: Any) -> Any:
        driving = asyncio.create_task(engine.execute(sim.plan, await sim.repository(engine), "r"))
        await sim.clock.sleep(5_000)
        await engine.cancel("r")
        return await driving

    assert sim.play(cancelled).status == "cancelled"


def test_lanes_that_change_the_same_text_conflict() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        await ctx.gather(ctx.tool("write", path="a", text="1\n"), ctx.tool("write", path="a", text="2\n"))
        return "unreachable"

    state = simulate(p, files={"a": "0\n"}).run()
    error = state.steps[StepPath("p")].error
    assert error is not None
    assert error.kind == "merge_conflict"


@pytest.mark.parametrize("schedule", range(6))
def test_a_conflict_in_an_inner_gather_ends_the_other_lanes(schedule: int) -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        async def inner() -> Any:
            return await ctx.gather(ctx.tool("write", path="a", text="1\n"), ctx.tool("write", path="a", text="2\n"))

        async def other() -> Any:
            for i in range(4):
                await ctx.ask("critic", f"round {i}")
                await ctx.model(f"round {i}")

        await ctx.gather(inner(), other(), ctx.sleep(60_000))

    results = {simulate(p, files={"a": "0\n"}, schedule=s).run().result for s in (0, schedule)}
    assert len(results) == 1


def test_lanes_that_change_other_files_are_merged() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        await ctx.gather(ctx.tool("write", path="a", text="1\n"), ctx.tool("write", path="b", text="2\n"))
        return "merged"

    sim = simulate(p, files={"c": "0\n"})
    state = sim.run()
    assert output(state) == "merged"

    async def listed(engine: Any) -> list[str]:
        return [entry.path for entry in await engine.workspace.entries(state.tree)]

    assert sim.play(listed) == ["a", "b", "c"]


def test_inner_gathers_are_merged_before_outer_ones() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        async def two(name: str) -> Any:
            return await ctx.gather(
                ctx.tool("write", path=f"{name}1", text=name), ctx.tool("write", path=f"{name}2", text=name)
            )

        await ctx.gather(two("a"), two("b"))
        return await ctx.tool("write", path="last", text="z")

    sim = simulate(p)
    state = sim.run()
    assert output(state) == "last"

    async def listed(engine: Any) -> list[str]:
        return [entry.path for entry in await engine.workspace.entries(state.tree)]

    assert sim.play(listed) == ["a1", "a2", "b1", "b2", "last"]


def test_changed_code_stops_a_resume_and_records_nothing() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        return await ctx.model("one")

    async def changed(ctx: Any, _inputs: Any) -> Any:
        return await ctx.model("two")

    sim = simulate(p)
    assert sim.crash_at_await(0, after=True)
    before = len(sim.records())
    sim.functions.functions["p"] = changed
    with pytest.raises(DivergedError, match="has changed"):
        sim.resume()
    assert len(sim.records()) == before
    sim.functions.functions["p"] = p
    assert sim.resume().status == "ok"


def test_a_program_that_asks_otherwise_by_what_it_imports_stops_a_resume() -> None:
    said = ["one"]

    async def p(ctx: Any, _inputs: Any) -> Any:
        return await ctx.model(said[0])

    sim = simulate(p)
    assert sim.crash_at_await(0, after=True)
    said[0] = "two"
    with pytest.raises(DivergedError, match="asks something else"):
        sim.resume()
    said[0] = "one"
    assert sim.resume().status == "ok"


def test_only_what_says_something_is_recorded() -> None:
    async def p(ctx: Any, _inputs: Any) -> Any:
        return await ctx.gather(*(ctx.model(str(i)) for i in range(5)))

    sim = simulate(p)
    assert output(sim.run()) == ["fine"] * 5
    assert sum(isinstance(event, StepAdvanced) for event in sim.events()) == 2
