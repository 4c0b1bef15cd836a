"""Sub-plans in the kernel: from files, from the output of an earlier step, and what they share with the whole."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.core.budget import Limits
from tenuto.core.events.plan import PlanRequested
from tenuto.core.events.run import RunEnded
from tenuto.core.events.step import StepFailed
from tenuto.core.ids import StepPath
from tenuto.core.plan import PLAN_DEPTH_MAX, ApprovalWork, InputSpec, Plan, PlanWork, Registry, Repeat, Step
from tenuto.core.produced import beyond_its_step
from tenuto.core.tools import Grants
from tenuto.testing.builders import agent, command, plan, program, prompt, raw
from tenuto.testing.kernel import KernelRun


def sub(name: str, inner: Plan, **fields: Any) -> Step:
    values = {key: raw(value) for key, value in fields.pop("values", {}).items()}
    foreach = fields.pop("foreach", None)
    return Step(
        name=name,
        work=PlanWork(plan=inner),
        values=values,
        foreach=None if foreach is None else raw(foreach),
        **fields,
    )


def produced(name: str, **fields: Any) -> Step:
    return Step(name=name, needs=("draft",), work=PlanWork(text="${{ steps.draft.output }}"), **fields)


PAIR = plan(
    command("one", "echo ${{ inputs.word }}"),
    command("two", needs=["one"]),
    inputs={"word": InputSpec(default=raw("hi"))},
    outputs={"code": raw("${{ steps.two.output.exit_code }}")},
)


def test_the_steps_of_a_sub_plan_are_steps_of_the_run() -> None:
    run = KernelRun(plan(sub("do", PAIR, values={"word": "ho"}), command("after", needs=["do"])))
    assert run.start() == ["RunStarted", "StepStarted do/1", "StepStarted do/one/1", "ToolCallRequested do/one/1/0"]
    assert run.commands["do/one/1/0"].event.arguments.value == {"command": "echo ho"}  # type: ignore[union-attr]
    assert run.returned("do/one/1/0", tree="T1")[1:] == [
        "StepCompleted do/one",
        "StepStarted do/two/1",
        "ToolCallRequested do/two/1/0",
    ]
    assert run.returned("do/two/1/0", tree="T2")[1:] == [
        "StepCompleted do/two",
        "StepCompleted do",
        "StepStarted after/1",
        "ToolCallRequested after/1/0",
    ]
    done = run.state.steps["do"]  # type: ignore[index]
    assert done.output is not None
    assert (done.output.value, done.out_tree) == ({"code": 0}, "T2")


def test_the_ends_of_a_sub_plan_are_merged_once() -> None:
    inner = plan(command("x"), command("y"))
    run = KernelRun(plan(sub("do", inner)))
    run.start()
    run.returned("do/x/1/0", tree="Tx")
    assert run.returned("do/y/1/0", tree="Ty")[1:] == ["StepCompleted do/y", "MergeRequested do/0/1"]
    assert run.resume()[1:] == ["MergeRequested do/0/1"]
    # Even where the merge gives back the very tree that the sub-plan began with.
    assert run.merged("do/0/1", "T0")[1:] == ["StepCompleted do", "RunEnded"]


def test_a_failing_step_ends_its_sub_plan_and_no_more() -> None:
    inner = plan(command("x"), command("y"), command("z", needs=["x"]))
    run = KernelRun(plan(sub("do", inner, on_error="continue"), command("other")))
    run.start()
    assert run.returned("do/x/1/0", {"exit_code": 1}, status="error")[1:] == [
        "StepFailed do/x",
        "CallLost do/y/1/0",
        "StepCancelled do/y",
        "StepCancelled do/z",
        "StepFailed do",
    ]
    assert run.last(StepFailed).error.message == "do/x: exit code 1"
    assert run.returned("other/1/0")[-1] == "RunEnded"
    assert run.last(RunEnded).status == "ok"


def test_steps_before_the_failing_one_still_finish() -> None:
    run = KernelRun(plan(sub("do", plan(command("x"), command("y")))))
    run.start()
    assert run.returned("do/y/1/0", {"exit_code": 1}, status="error")[1:] == ["StepFailed do/y"]
    assert run.returned("do/x/1/0")[1:] == ["StepCompleted do/x", "StepFailed do", "RunEnded"]


def test_cancelling_reaches_every_depth() -> None:
    run = KernelRun(plan(sub("a", plan(sub("b", plan(command("c")))))))
    assert run.start()[-1] == "ToolCallRequested a/b/c/1/0"
    assert run.cancel() == [
        "RunCancelled",
        "CallLost a/b/c/1/0",
        "StepCancelled a/b/c",
        "StepCancelled a/b",
        "StepCancelled a",
        "RunEnded",
    ]


def test_a_sub_plan_repeats_and_runs_for_each_item() -> None:
    inner = plan(command("x"), outputs={"code": raw("${{ steps.x.output.exit_code }}")})
    step = sub(
        "do", inner, foreach=["p", "q"], repeat=Repeat(max=3, until="last.output.code == 0"), on_error="continue"
    )
    run = KernelRun(plan(step))
    assert run.start()[1:] == [
        "StepExpanded do",
        "StepStarted do[0]#1/1",
        "StepStarted do[1]#1/1",
        "StepStarted do[0]#1/x/1",
        "ToolCallRequested do[0]#1/x/1/0",
        "StepStarted do[1]#1/x/1",
        "ToolCallRequested do[1]#1/x/1/0",
    ]
    run.returned("do[1]#1/x/1/0")
    assert run.returned("do[0]#1/x/1/0")[-2:] == ["StepCompleted do", "RunEnded"]


def test_a_sub_plan_has_what_its_step_has() -> None:
    inner = plan(prompt("x"), prompt("y"), command("z"))
    run = KernelRun(plan(sub("do", inner, budget=Limits(tokens=3_001)), prompt("other"), tokens=10_000))
    run.start()
    assert [sum(run.tokens(name)) for name in ("do/x", "do/y", "do", "other")] == [1_500, 1_500, 1, 6_999]


def test_what_a_sub_plan_lacks_others_give_up_to_its_cap() -> None:
    inner = plan(prompt("x", "t" * 400), budget=Limits(tokens=700))
    run = KernelRun(plan(sub("do", inner), prompt("other"), tokens=2_000), agents=[])
    told = run.start()
    assert run.tokens("do/x")[0] + run.tokens("do/x")[1] <= 700
    assert told


def test_values_that_do_not_fit_fail_the_step() -> None:
    inner = plan(command("x"), inputs={"n": InputSpec(type="integer")})
    run = KernelRun(plan(prompt("a"), sub("do", inner, needs=("a",), values={"n": "${{ steps.a.output }}"})))
    run.start()
    assert run.reply("a/1/0", "many")[2:] == ["StepFailed do", "RunEnded"]
    assert run.last(StepFailed).error.kind == "expression"


def test_outputs_that_lead_nowhere_fail_the_step() -> None:
    inner = plan(prompt("x"), outputs={"o": raw("${{ steps.x.output.none }}")})
    run = KernelRun(plan(sub("do", inner)))
    run.start()
    assert run.reply("do/x/1/0", "text")[1:] == ["StepCompleted do/x", "StepFailed do", "RunEnded"]


def test_programs_and_people_work_in_sub_plans() -> None:
    async def write(ctx: Any, inputs: Any) -> Any:
        return await ctx.model(inputs.word)

    ask = Step(name="ask", needs=("write",), work=ApprovalWork(ask="Keep ${{ steps.write.output }}?"))
    inner = plan(program("write", values={"word": "${{ inputs.word }}"}), ask, inputs={"word": InputSpec()})
    run = KernelRun(plan(sub("do", inner, values={"word": "w"})), functions={"write": write})
    assert run.start()[-1] == "ModelCallRequested do/write/1/0"
    assert run.reply("do/write/1/0", "it")[-1] == "ApprovalRequested do/ask/1/0"
    run.resume()
    assert run.answer("do/ask/1/0", approved=True)[-3:] == ["StepCompleted do/ask", "StepCompleted do", "RunEnded"]


class TestProduced:
    def test_it_is_loaded_when_its_step_starts(self) -> None:
        run = KernelRun(plan(prompt("draft"), produced("do", tools=("run",))))
        run.start()
        assert run.reply("draft/1/0", "steps: ...")[1:] == ["StepCompleted draft", "PlanRequested do/0/3"]
        assert run.last(PlanRequested).source.value == "steps: ..."
        assert run.resume()[1:] == ["PlanRequested do/0/3"], "free to repeat"
        assert run.loaded("do/0/3", plan(command("x")))[1:] == [
            "StepStarted do/1",
            "StepStarted do/x/1",
            "ToolCallRequested do/x/1/0",
        ]
        run.resume()
        assert run.returned("do/x/1/0", tree="Tx")[-1] == "RunEnded"
        assert run.last(RunEnded).tree == "Tx"

    def test_what_is_wrong_with_it_is_a_value(self) -> None:
        run = KernelRun(plan(prompt("draft"), produced("do", on_error="continue"), prompt("fix", needs=["do"])))
        run.start()
        run.reply("draft/1/0")
        assert run.loaded("do/0/3", None, "steps: a plan needs steps", "and a name")[1:3] == [
            "StepFailed do",
            "StepStarted fix/1",
        ]
        error = run.last(StepFailed).error
        assert (error.kind, error.message) == ("plan", "steps: a plan needs steps; and a name")

    def test_plans_that_produce_themselves_come_to_an_end(self) -> None:
        again = Step(name="do", on_error="continue", work=PlanWork(text="again"))
        run = KernelRun(plan(again))
        run.start()
        for depth in range(PLAN_DEPTH_MAX):
            run.loaded("do/" * (depth + 1) + "0/3", plan(again))
        assert run.state.status == "ok"
        error = run.state.steps[StepPath("do/" * PLAN_DEPTH_MAX + "do")].error
        assert error is not None
        assert (error.kind, error.message) == ("plan", "plans are nested deeper than 8")

    def test_each_child_and_iteration_loads_its_own(self) -> None:
        step = Step(
            name="do",
            needs=("draft",),
            work=PlanWork(text="${{ item }}"),
            foreach=raw(["p", "q"]),
            repeat=Repeat(max=2),
        )
        run = KernelRun(plan(prompt("draft"), step))
        run.start()
        assert run.reply("draft/1/0")[2:] == [
            "StepExpanded do",
            "PlanRequested do[0]#1/0/3",
            "PlanRequested do[1]#1/0/3",
        ]
        run.loaded("do[1]#1/0/3", plan(command("x")))
        run.loaded("do[0]#1/0/3", plan(command("y")))
        assert run.returned("do[0]#1/y/1/0")[-1] == "PlanRequested do[0]#2/0/3"
        run.loaded("do[0]#2/0/3", plan(command("z")))
        run.returned("do[0]#2/z/1/0")
        run.returned("do[1]#1/x/1/0")
        run.loaded("do[1]#2/0/3", plan(command("x")))
        assert run.returned("do[1]#2/x/1/0")[-1] == "RunEnded"

    @pytest.mark.parametrize(
        ("inner", "step", "line"),
        [
            (command("x"), {}, "steps.x: the tool run is not among the tools of do"),
            (
                command("x", grants=Grants(network=True)),
                {"tools": ("run",)},
                "steps.x.grants: network is not granted to do",
            ),
            (
                command("x", grants=Grants(env=("A", "B"))),
                {"tools": ("run",), "grants": Grants(env=("A",))},
                "steps.x.grants: env B is not granted to do",
            ),
            (program("x"), {}, "steps.x.uses: a produced plan names no code"),
            (
                prompt("x", model="scripted:/etc/passwd"),
                {},
                "steps.x.model: scripted:/etc/passwd is not a model of the run",
            ),
            (
                prompt("x", agent="w"),
                {"tools": ("read_file",)},
                "steps.x: the tool write_file is not among the tools of do",
            ),
            (sub("x", plan(program("y"))), {}, "steps.x.plan.steps.y.uses: a produced plan names no code"),
        ],
    )
    def test_it_may_do_no_more_than_its_step(self, inner: Step, step: dict[str, Any], line: str) -> None:
        registry = Registry(agents={"w": agent("w", "read_file", "write_file")})
        assert list(beyond_its_step(plan(inner), produced("do", **step), registry, ["mock:"])) == [line]

    def test_what_its_step_has_it_may_use(self) -> None:
        registry = Registry(agents={"w": agent("w", "read_file", "write_file")})
        inner = plan(prompt("x", agent="w"), command("y", grants=Grants(env=("A",))))
        step = produced("do", tools=("run", "read_file", "write_file"), grants=Grants(env=("A",), network=True))
        assert list(beyond_its_step(inner, step, registry, ["mock:"])) == []
