"""Kill a run of every kind of step, nested, at every append and every effect: the same end, nothing done twice."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.core.content import Content
from tenuto.core.events.call import ModelReplied, ToolReturned
from tenuto.core.events.person import ApprovalAnswered, ApprovalRequested
from tenuto.core.ids import StepPath
from tenuto.core.plan import ApprovalWork, Defaults, Plan, PlanWork, Repeat, Step, WaitWork
from tenuto.core.requests import AnswerCall
from tenuto.core.state import Call
from tenuto.ports.plans import PlanReader
from tenuto.testing.builders import agent, command, plan, program, prompt, raw
from tenuto.testing.mixed import FILES, tools
from tenuto.testing.sim import Simulation


class Written(PlanReader):
    """The plan that a model would write."""

    def read(self, source: Any, agents: Any, tools: Any) -> Plan:
        ask = Step(name="keep", needs=("made",), work=ApprovalWork(ask=f"Keep {str(source)[:10]}?"))
        return plan(command("made", "make written"), ask)


async def panel(ctx: Any, inputs: Any) -> Any:
    """Two people are asked at once, and a model."""
    return await ctx.gather(
        ctx.approve("first?"),
        ctx.approve("second?", details={"n": 1}, expires_ms=86_400_000),
        ctx.model("meanwhile"),
    )


def every_kind() -> Plan:
    inner = plan(
        command("write", "make inner"),
        prompt("look", "Look.", needs=["write"], agent="careful"),
        outputs={"status": raw("${{ steps.look.status }}")},
    )
    loop = Step(
        name="loop",
        foreach=raw(["p", "q"]),
        repeat=Repeat(max=3, until="iteration >= 2 && last.output.status == 'completed'"),
        work=PlanWork(plan=inner),
    )
    return plan(
        prompt("draft", "Draft a plan.", fallback=("careful",), reads=("src/**",)),
        Step(name="written", needs=("draft",), tools=("run",), work=PlanWork(text="${{ steps.draft.output }}")),
        loop,
        Step(name="pause", condition="true", work=WaitWork(duration="2s")),
        command("never", "make never", condition="false"),
        program("panel", needs=["pause"]),
        Step(
            name="ship",
            needs=("loop", "written", "panel"),
            values={"version": raw("1.0")},
            work=ApprovalWork(ask="Ship?", expires_ms=86_400_000),
        ),
        defaults=Defaults(model="mock:mix?tools=1&calls=1&size=40"),
        tokens=2_000_000,
    )


def answer(call: Call) -> AnswerCall:
    details = Content.of({"edited": True}) if call.position.startswith("ship/") else None
    return AnswerCall(approved=True, call=call.position, details=details, note="fine", who="ann")


def simulation(**options: Any) -> Simulation:
    return Simulation(
        every_kind(),
        agents=(agent("careful", "look", "note", approve=("note",)),),
        files=FILES,
        functions={"panel": panel},
        people=answer,
        plans=Written(),
        tools=tools(),
        **options,
    )


def test_every_kind_is_in_it() -> None:
    sim = simulation()
    state = sim.run()
    assert state.status == "ok", state.why
    kinds = {type(event).__name__ for event in sim.events()}
    assert {"PlanLoaded", "ApprovalAnswered", "StepSkipped", "StepExpanded", "TimerFired", "TreesMerged"} <= kinds
    assert {"loop[0]#2/look", "written/keep", "panel", "never"} <= set(state.steps)
    assert sum(isinstance(event, ApprovalAnswered) for event in sim.events()) >= 4


@pytest.mark.parametrize("schedule", [1, 2, 3])
def test_latencies_change_no_result(schedule: int) -> None:
    assert simulation(schedule=schedule, max_parallel=schedule).run().result == simulation().run().result


def kill_everywhere(*, after: bool) -> int:
    whole = simulation()
    result = whole.run().result
    kills = 0
    for kind, number in (
        *(("append", n) for n in range(whole.appends)),
        *(("await", n) for n in range(whole.awaits)),
    ):
        sim = simulation()
        crash = sim.crash_at_append if kind == "append" else sim.crash_at_await
        assert crash(number, after=after), f"{kind} {number} was not reached"
        begun = bool(kind == "await" or number or after)
        answered = sim.answered() if begun else set()
        done = {key: times for key, times in sim.effects.items() if key[0] in answered}
        ended = sim.resume()
        assert (ended.status, ended.result) == ("ok", result), f"{kind} {number}"
        assert {key: sim.effects[key] for key in done} == done, "what was recorded was executed again"
        outcomes = [e.call for e in sim.events() if isinstance(e, (ModelReplied, ToolReturned, ApprovalAnswered))]
        assert len(outcomes) == len(set(outcomes)) + approved_tools(sim), "each answer reached its call once"
        kills += 1
    return kills


def approved_tools(sim: Simulation) -> int:
    """Calls with two outcomes: a person's, and then the tool's."""
    return sum(isinstance(event, ApprovalRequested) and event.tool is not None for event in sim.events())


@pytest.mark.parametrize("after", [False, True])
def test_one_kill_anywhere(*, after: bool) -> None:
    assert kill_everywhere(after=after) > 40


def test_a_question_whose_time_is_over_ends_when_the_run_is_resumed() -> None:
    ask = Step(name="ask", on_error="continue", work=ApprovalWork(ask="Go?", expires_ms=60_000))
    sim = Simulation(plan(ask))
    assert sim.run().people == 1
    assert sim.resume().people == 1, "its time is not over"
    sim.clock.advance_us(60_000_000)
    ended = sim.resume()
    error = ended.steps[StepPath("ask")].error
    assert (ended.status, error and error.kind) == ("ok", "expired")


def test_an_answer_in_time_holds_though_the_run_is_resumed_late() -> None:
    ask = Step(name="ask", work=ApprovalWork(ask="Go?", expires_ms=60_000))
    sim = Simulation(plan(ask))
    (call,) = sim.run().calls.values()
    sim.play(lambda engine: engine.request("sim", answer(call)))
    sim.clock.advance_us(60_000_000)
    assert sim.resume().status == "ok"
