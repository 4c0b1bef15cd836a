"""Random plans of every kind of step and every way to nest them, as functions of a seed.

    plan = nested_plan(7)

Sub-plans, produced ones too, stand in items of a `foreach`, these in iterations of a `repeat`, these in sub-plans;
conditions, approvals, pauses, fallbacks and narrowed trees anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.core.plan import ApprovalWork, InputSpec, Plan, PlanWork, Repeat, Retry, Step, WaitWork
from tenuto.core.tools import ToolSpec
from tenuto.runtime.context import AskError
from tenuto.testing.builders import StepFunction, agent, command, plan, program, prompt, raw, tool_spec
from tenuto.testing.kernel import KernelRun
from tenuto.testing.world import AGENTS, FUNCTIONS, TOOLS, World

__all__ = ["NESTED_AGENTS", "NESTED_FUNCTIONS", "NESTED_TOOLS", "nested_plan", "nested_run", "nested_world"]

DEPTH_MAX = 3


async def panel(ctx: Any, inputs: Any) -> Any:
    """Lanes that write, call tools with outside effects, and ask people, with and without an end to their time."""

    async def lane(number: int) -> Any:
        await ctx.tool("write", path=f"{number}.txt")
        try:
            await ctx.tool("ship", n=number)
            answer = await ctx.approve(f"{number}?", details={"n": number}, expires_ms=[None, 1_000][number])
        except AskError as error:
            return error.kind
        return [answer["approved"], answer["details"]]

    return [await ctx.gather(lane(0), lane(1), ctx.sleep(10)), await ctx.model("sum up"), dict(inputs)]


NESTED_FUNCTIONS: Mapping[str, StepFunction] = {**FUNCTIONS, "panel": panel}
NESTED_TOOLS: tuple[ToolSpec, ...] = (*TOOLS, tool_spec("notify", "once", approval=True), tool_spec("ship", "once"))
NESTED_AGENTS: tuple[AgentSpec, ...] = (
    *AGENTS,
    agent("careful", "look", "write", "notify", approve=("write",), iterations_max=4),
    agent("broke", "look", "ship", limits=Limits(tokens=150)),
)
_AGENTS = tuple(spec.name for spec in NESTED_AGENTS)
_PROGRAMS = tuple(NESTED_FUNCTIONS)
_KINDS = ("prompt", "prompt", "command", "program", "approval", "wait", "plan", "plan", "produced")
_UNTIL = (
    None,
    "iteration >= 2",
    "last.status == 'completed'",
    "last.status == 'completed' && iteration > 1",
    "last.output.nothing == 1",
    "size(string(last.output)) > 12",
    "false",
)


def nested_run(plan: Plan, *, scarce: bool = True, **fields: Any) -> KernelRun:
    """A run in the kernel with all agents, tools and programs that these plans name. Not `scarce`: no agent has a
    limit of its own, so that where the plan has none either, what a call may cost never matters."""
    agents = NESTED_AGENTS if scarce else tuple(replace(spec, limits=Limits()) for spec in NESTED_AGENTS)
    return KernelRun(plan, agents=agents, tools=NESTED_TOOLS, functions=NESTED_FUNCTIONS, **fields)


def nested_world(seed: int, *, trouble: float = 0.2) -> World:
    """The world of these plans: people answer, and the plans that steps produce are random ones."""
    return World(seed, trouble=trouble, produce=_produced)


def _produced(source: str, depth: int) -> Plan:
    return nested_plan(source, depth=max(2, depth))


def nested_plan(seed: int | str, *, budget: bool | None = None, depth: int = 0) -> Plan:
    """A plan of 1 to 5 steps of any kind, nested up to `DEPTH_MAX`. `budget`: whether tokens are scarce (None:
    sometimes)."""
    draw = random.Random(f"nested {seed}")
    make = _Maker(draw, depth)
    names = [f"s{i}" for i in range(draw.randint(1, 3 if depth else 5))]
    steps = [make.step(name, [n for n in names[:i] if draw.random() < 0.4]) for i, name in enumerate(names)]
    limits: dict[str, int] = {}
    if (draw.random() < (0.15 if depth else 0.5)) if budget is None or depth else budget:
        limits["tokens"] = draw.randint(300, 1_500 if depth else 8_000)
        if draw.random() < 0.2:
            limits["tool_calls"] = draw.randint(2, 12)
    fields: dict[str, Any] = {}
    if draw.random() < 0.5:
        said = draw.choice(names)
        fields["outputs"] = {"said": raw(f"${{{{ steps.{said}.{draw.choice(['status', 'output', 'error'])} }}}}")}
    return plan(*steps, budget=Limits(**limits), inputs={"of": InputSpec(default=raw("nobody"))}, **fields)


class _Maker:
    def __init__(self, draw: random.Random, depth: int) -> None:
        self._draw = draw
        self._depth = depth

    def step(self, name: str, needs: list[str]) -> Step:
        draw = self._draw
        common = self._policies(needs)
        kind = draw.choice([k for k in _KINDS if self._depth < DEPTH_MAX or k not in ("plan", "produced")])
        if draw.random() < 0.3:
            common["foreach"] = [f"i{n}" for n in range(draw.randint(0, 3))]
            if draw.random() < 0.5:
                common["max_parallel"] = draw.randint(1, 2)
        if draw.random() < 0.3:
            common["repeat"] = Repeat(max=draw.randint(1, 3), until=draw.choice(_UNTIL))
        return self._work(kind, name, needs, common)

    def _policies(self, needs: list[str]) -> dict[str, Any]:
        draw = self._draw
        common: dict[str, Any] = {"needs": needs}
        if draw.random() < 0.5:
            common["on_error"] = draw.choice(["continue", "continue", "skip"])
        if draw.random() < 0.15:
            common["budget"] = Limits(tokens=draw.randint(200, 1_500))
        if draw.random() < 0.2:
            common["reads"] = ("src/**",)
        if needs and draw.random() < 0.3:
            need = draw.choice(needs)
            common["condition"] = draw.choice(
                [
                    f"steps.{need}.status == 'completed'",
                    f"steps.{need}.status != 'completed'",
                    f"steps.{need}.error != null",
                    f"size(string(steps.{need}.output)) > 8",
                    "inputs.of == 'somebody'",
                ]
            )
        return common

    def _work(self, kind: str, name: str, needs: list[str], common: dict[str, Any]) -> Step:
        draw = self._draw
        seen = "".join(f" ${{{{ steps.{n}.output }}}}" for n in needs)
        item = " ${{ item }}" if "foreach" in common else ""
        again = " ${{ iteration }}" if "repeat" in common else ""
        match kind:
            case "prompt":
                return self._prompt(name, f"Do {name}.{item}{again}{seen}", common)
            case "command":
                return command(name, f"make {name}{item}{again}", **common, retry=self._retry())
            case "program":
                return program(name, draw.choice(_PROGRAMS), **common)
            case "approval":
                expires_ms = draw.choice([None, 1_000, 60_000])
                values = {"n": raw(f"{name}{again}")} if draw.random() < 0.5 else {}
                work = ApprovalWork(ask=f"{name}?{item}{again}", expires_ms=expires_ms)
                return _plain(name, work, values, common)
            case "wait":
                return _plain(name, WaitWork(duration=draw.choice(["1s", "0s", "1m"])), {}, common)
            case "produced":
                values = {"of": raw(f"x{item}{again}")} if draw.random() < 0.5 else {}
                return _plain(name, PlanWork(text=f"plan {name}{item}{again}"), values, common)
            case _:
                inner = nested_plan(f"{draw.random()}", depth=self._depth + 1)
                return _plain(name, PlanWork(plan=inner), {"of": raw("somebody")}, common)

    def _prompt(self, name: str, text: str, common: dict[str, Any]) -> Step:
        draw = self._draw
        if draw.random() < 0.2:
            common["output"] = {"type": "object"}
        if draw.random() < 0.3:
            common["fallback"] = tuple(draw.sample(_AGENTS, draw.randint(1, 2)))
        who = draw.choice([None, *_AGENTS])
        return prompt(name, text, agent=who, max_tokens=draw.randint(20, 120), **common, retry=self._retry())

    def _retry(self) -> Retry | None:
        draw = self._draw
        if draw.random() < 0.6:
            return None
        return Retry(attempts=draw.randint(1, 3), backoff_ms=10, tries=draw.randint(1, 3))


def _plain(name: str, work: Any, values: dict[str, Any], common: dict[str, Any]) -> Step:
    foreach = common.pop("foreach", None)
    common["needs"] = tuple(common["needs"])
    return Step(name=name, work=work, values=values, foreach=None if foreach is None else raw(foreach), **common)
