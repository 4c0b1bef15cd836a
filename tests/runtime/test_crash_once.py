"""A `once` tool is never silently made twice: killed at any moment, a person or the tool says what became of it."""

from __future__ import annotations

import pytest

from tenuto.adapters.models.script import ScriptedReply, ScriptedToolCall
from tenuto.adapters.models.scripted import ScriptedModel
from tenuto.adapters.tools.functions import FunctionTool
from tenuto.core.content import Content
from tenuto.core.ids import Position
from tenuto.core.report import exit_code
from tenuto.core.requests import ResolveCall
from tenuto.core.tools import ToolCall
from tenuto.errors import ExitCode
from tenuto.testing.builders import agent, plan, prompt
from tenuto.testing.sim import Simulation


def simulate(*, reconcilable: bool) -> tuple[Simulation, list[int]]:
    paid: list[int] = []

    async def pay(amount: int) -> int:
        """Pay."""
        paid.append(amount)
        return len(paid)

    async def what_became(call: ToolCall) -> int | None:
        return len(paid) or None

    tool = FunctionTool(pay, effect="once", version="1", reconcile=what_became if reconcilable else None)
    asked = ScriptedToolCall(name="pay", arguments={"amount": 5})
    model = ScriptedModel([ScriptedReply(ordinal="0", tool_calls=(asked,)), ScriptedReply(text="paid")])
    sim = Simulation(plan(prompt("a", agent="w")), agents=[agent("w", "pay")], tools=[tool], model=model)
    return sim, paid


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(3))
def test_a_person_says_what_became_of_it(number: int, *, after: bool) -> None:
    whole = simulate(reconcilable=False)[0].run().result
    sim, paid = simulate(reconcilable=False)
    assert sim.crash_at_await(number, after=after)
    state = sim.resume()
    if number == 1:
        assert exit_code(state) is ExitCode.WAITING
        result = Content.of(paid[0] // 5) if paid else None
        answer = ResolveCall(call=Position("a/1/1"), done=bool(paid), result=result, who="tester")
        sim.play(lambda engine: engine.request("sim", answer))
        state = sim.resume()
    assert (state.status, state.result, paid) == ("ok", whole, [5])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(3))
def test_a_tool_that_can_say_needs_no_person(number: int, *, after: bool) -> None:
    whole = simulate(reconcilable=True)[0].run().result
    sim, paid = simulate(reconcilable=True)
    assert sim.crash_at_await(number, after=after)
    state = sim.resume()
    assert (state.status, state.result, paid) == ("ok", whole, [5])
