"""What type checkers make of the public API: checked by mypy with the rest, run by nobody.

A wrong use stands with the error it must give; an `ignore` that is not needed is an error too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, assert_type

from tenuto import (
    AgentSpec,
    Context,
    FunctionTool,
    Inputs,
    Limits,
    Plan,
    Ran,
    Step,
    agent,
    build,
    plan_from_yaml,
    plan_to_yaml,
    run,
    run_sync,
    tool,
)


@dataclass
class Deps:
    name: str


@agent(model="mock:", timeout=timedelta(seconds=5), fallback="other")
def judge(text: str) -> bool:
    """You judge."""
    raise NotImplementedError


@tool(effect="read")
def look(path: str) -> str:
    """Look."""
    return path


async def program(ctx: Context[Deps], inputs: Inputs) -> str:
    assert_type(ctx.deps, Deps)
    assert_type(ctx.deps.name, str)
    ctx.deps.nme  # type: ignore[attr-defined]  # noqa: B018
    return ctx.deps.name


async def untyped(ctx: Context, inputs: Inputs) -> None:
    assert_type(ctx.deps, Any)
    assert_type(ctx.now_us, int)


def builders() -> None:
    assert_type(judge, AgentSpec)
    assert_type(look, FunctionTool)
    assert_type(agent("a", "b", tools=[look, "run"]), AgentSpec)
    step = build.prompt("a", "b", agent=judge, output=Deps, needs=["x"], timeout="5s", max_tokens=5)
    assert_type(step, Step)
    assert_type(build.output(step)["x"][0], build.Expression)
    assert_type(build.uses("p", program, values={"a": build.given("b")}), Step)
    assert_type(build.limits(usd=Decimal(1), time=timedelta(hours=1)), Limits)
    assert_type(build.plan("p", step, inputs={"i": build.input(int, default=5)}), Plan)
    assert_type(plan_from_yaml(plan_to_yaml(build.plan("p", step))).plan, Plan)
    build.run("a", "b", model="mock:")  # type: ignore[call-arg]
    build.prompt("a", "b", timout="5s")  # type: ignore[call-arg]
    build.prompt("a", "b", on_error="stop")  # type: ignore[arg-type]
    build.wait("a", 5)  # type: ignore[arg-type]
    build.limits(usd=0.5)  # type: ignore[arg-type]
    build.plan("p", "a")  # type: ignore[arg-type]


async def runs(plan: Plan) -> None:
    assert_type(await run(plan, {"a": 1}, deps=Deps("x")), Ran)
    assert_type(run_sync("a.plan.yaml", model="mock:", seed="7"), Ran)
    assert_type(run_sync(plan).ok, bool)
    run_sync(plan, repo=".")  # type: ignore[call-arg]
    run_sync(5)  # type: ignore[arg-type]
