"""`if`, `repeat`, `wait` and `fallback` in the kernel, record by record."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.core.budget import Limits
from tenuto.core.events.run import RunEnded, RunExhausted
from tenuto.core.events.step import StepCompleted, StepFailed, StepSkipped, StepStarted
from tenuto.core.plan import Repeat, Retry, Step, WaitWork
from tenuto.testing.builders import agent, command, plan, prompt, tool_spec
from tenuto.testing.kernel import KernelRun, asks


def run_of(*steps: Step, tokens: int | None = None, agents: Any = (), **fields: Any) -> KernelRun:
    return KernelRun(plan(*steps, tokens=tokens, **fields), agents=agents)


def output(run: KernelRun, step: str) -> Any:
    found = run.state.steps[step].output  # type: ignore[index]  # a plain name is a path
    return None if found is None else found.value


class TestConditions:
    def test_a_false_condition_skips_the_step_and_what_needs_it(self) -> None:
        run = run_of(
            command("a", condition="false"), command("b", needs=["a"]), command("c"), command("d", needs=["c"])
        )
        assert run.start() == [
            "RunStarted",
            "StepSkipped a",
            "StepSkipped b",
            "StepStarted c/1",
            "ToolCallRequested c/1/0",
        ]
        first = next(e.event for e in run.entries if isinstance(e.event, StepSkipped))
        assert (first.because, first.tree) == ("a", "T0")

    def test_a_condition_sees_what_the_step_needs(self) -> None:
        run = run_of(prompt("a"), command("b", needs=["a"], condition='steps.a.output == "go"'))
        run.start()
        assert run.reply("a/1/0", "go")[2:] == ["StepStarted b/1", "ToolCallRequested b/1/0"]

    def test_a_condition_that_reads_how_a_need_ended_decides_for_itself(self) -> None:
        run = run_of(
            command("a", on_error="skip"),
            command("b", needs=["a"], condition='steps.a.status == "failed"'),
            command("c", needs=["a"], condition="steps.a.output.exit_code == 0"),
        )
        run.start()
        told = run.returned("a/1/0", {"exit_code": 1, "stderr": "", "stdout": ""}, status="error")
        assert told == [
            "ToolReturned a/1/0",
            "StepFailed a",
            "StepStarted b/1",
            "ToolCallRequested b/1/0",
            "StepSkipped c",
        ]

    def test_a_condition_without_a_boolean_fails_the_step(self) -> None:
        run = run_of(prompt("a"), command("b", needs=["a"], condition="steps.a.output"))
        run.start()
        assert run.reply("a/1/0", "text")[-2:] == ["StepFailed b", "RunEnded"]
        assert run.last(StepFailed).error.kind == "expression"

    def test_a_skipped_step_keeps_the_merged_work_of_its_needs(self) -> None:
        run = run_of(command("a"), command("b"), command("c", needs=["a", "b"], condition="false"))
        run.start()
        run.returned("a/1/0", tree="Ta")
        assert run.returned("b/1/0", tree="Tb")[-1] == "MergeRequested c/0/0"
        assert run.merged("c/0/0", "Tm") == ["TreesMerged c/0/0", "StepSkipped c", "RunEnded"]
        assert run.last(RunEnded).tree == "Tm"


class TestRepeat:
    def test_iterations_follow_one_another_until_the_condition_holds(self) -> None:
        step = prompt("a", "Go on from ${{ last.output }}", repeat=Repeat(max=5, until='last.output == "done"'))
        run = run_of(step, command("b", needs=["a"]))
        assert run.start()[1:] == ["StepStarted a#1/1", "ModelCallRequested a#1/1/0"]
        assert run.reply("a#1/1/0", "more") == [
            "ModelReplied a#1/1/0",
            "StepCompleted a#1",
            "StepStarted a#2/1",
            "ModelCallRequested a#2/1/0",
        ]
        told = run.reply("a#2/1/0", "done")
        assert told[1:4] == ["StepCompleted a#2", "StepCompleted a", "StepStarted b/1"]
        assert output(run, "a") == "done"

    def test_each_iteration_starts_from_the_tree_of_the_one_before(self) -> None:
        run = run_of(command("a", repeat=Repeat(max=2)))
        run.start()
        run.returned("a#1/1/0", tree="T1")
        assert run.last(StepStarted).tree == "T1"
        run.returned("a#2/1/0", tree="T2")
        assert (run.last(RunEnded).tree, run.last(StepCompleted).path) == ("T2", "a")

    def test_a_condition_that_never_holds_is_a_failure(self) -> None:
        run = run_of(command("a", repeat=Repeat(max=2, until="false")))
        run.start()
        run.returned("a#1/1/0", tree="T1")
        assert run.returned("a#2/1/0", tree="T2")[1:] == ["StepCompleted a#2", "StepFailed a", "RunEnded"]
        failed = run.last(StepFailed)
        assert (failed.error.kind, failed.error.message) == ("repeat", "until is still false after 2 iterations")
        assert failed.tree == "T0"

    def test_a_failed_iteration_fails_the_step_unless_its_policy_says_otherwise(self) -> None:
        run = run_of(command("a", repeat=Repeat(max=3)))
        run.start()
        assert run.returned("a#1/1/0", {"exit_code": 1}, status="error")[1:] == [
            "StepFailed a#1",
            "StepFailed a",
            "RunEnded",
        ]
        assert run.last(StepFailed).error.message == "a#1: exit code 1"
        on = run_of(command("a", on_error="continue", repeat=Repeat(max=3, until='last.status == "completed"')))
        on.start()
        assert on.returned("a#1/1/0", {"exit_code": 1}, status="error")[1:3] == [
            "StepFailed a#1",
            "StepStarted a#2/1",
        ]
        assert on.returned("a#2/1/0")[1:] == ["StepCompleted a#2", "StepCompleted a", "RunEnded"]

    def test_the_children_of_a_foreach_repeat_on_their_own(self) -> None:
        step = prompt(
            "a", "${{ item }} ${{ iteration }}", foreach=["x", "y"], repeat=Repeat(max=2, until='last.output == "ok"')
        )
        run = run_of(step, tokens=10_000)
        assert run.start()[1:] == [
            "StepExpanded a",
            "StepStarted a[0]#1/1",
            "ModelCallRequested a[0]#1/1/0",
            "StepStarted a[1]#1/1",
            "ModelCallRequested a[1]#1/1/0",
        ]
        run.reply("a[1]#1/1/0", "ok")
        run.reply("a[0]#1/1/0", "again")
        assert run.reply("a[0]#2/1/0", "ok")[1:] == [
            "StepCompleted a[0]#2",
            "StepCompleted a[0]",
            "StepCompleted a",
            "RunEnded",
        ]
        assert output(run, "a") == ["ok", "ok"]

    def test_iterations_share_one_account(self) -> None:
        run = run_of(prompt("a", repeat=Repeat(max=9)), prompt("b"), tokens=2_000)
        run.start()
        for number in range(1, 10):
            if run.state.status != "running" or f"a#{number}/1/0" not in run.commands:
                break
            run.reply(f"a#{number}/1/0", usage=(80, 40))
        free, held, spent = run.tokens("a")
        assert spent % 120 == 0
        assert free + held + spent <= 2_000
        assert spent > 120, "later iterations are paid from what earlier ones left"

    def test_retries_belong_to_an_iteration(self) -> None:
        run = run_of(command("a", retry=Retry(attempts=2), repeat=Repeat(max=2)))
        run.start()
        assert run.returned("a#1/1/0", {"exit_code": 1}, status="error")[1:] == [
            "AttemptFailed a#1/1",
            "TimerSet a#1/2",
        ]
        assert run.fire("a#1/2")[1:] == ["StepStarted a#1/2", "ToolCallRequested a#1/2/0"]
        assert run.returned("a#1/2/0")[1:] == ["StepCompleted a#1", "StepStarted a#2/1", "ToolCallRequested a#2/1/0"]

    def test_cancelling_reaches_the_iteration(self) -> None:
        run = run_of(command("a", repeat=Repeat(max=2)))
        run.start()
        assert run.cancel() == [
            "RunCancelled",
            "CallLost a#1/1/0",
            "StepCancelled a#1",
            "StepCancelled a",
            "RunEnded",
        ]


class TestWait:
    def test_a_wait_is_a_recorded_timer(self) -> None:
        run = run_of(Step(name="a", work=WaitWork(duration="1m30s")), command("b", needs=["a"]))
        assert run.start() == ["RunStarted", "StepStarted a/1", "TimerSet a/1/0"]
        assert run.state.timers["a/1/0"] == run.state.at + 90_000_000
        assert run.fire("a/1/0") == [
            "TimerFired a/1/0",
            "StepCompleted a",
            "StepStarted b/1",
            "ToolCallRequested b/1/0",
        ]
        assert output(run, "a") is None

    @pytest.mark.parametrize("given", ["soon", "", "5"])
    def test_what_is_no_duration_fails_the_step(self, given: str) -> None:
        run = run_of(prompt("a"), Step(name="b", needs=("a",), work=WaitWork(duration="${{ steps.a.output }}")))
        run.start()
        assert run.reply("a/1/0", given)[2:] == ["StepFailed b", "RunEnded"]
        assert run.last(StepFailed).error.kind == "expression"

    def test_a_resumed_run_waits_on(self) -> None:
        run = run_of(Step(name="a", work=WaitWork(duration="1h")))
        run.start()
        assert run.resume() == ["RunResumed"]
        assert run.fire("a/1/0")[-1] == "RunEnded"


class TestFallback:
    def test_another_agent_takes_over_when_the_attempts_are_used_up(self) -> None:
        step = prompt("a", agent="small", fallback=("large",), retry=Retry(attempts=2))
        run = run_of(step, agents=[agent("small"), agent("large", instructions="You are large.")])
        run.start()
        keys = [run.last(StepStarted).key]
        assert run.refused("a/1/0", 400)[1:] == ["AttemptFailed a/1", "TimerSet a/2"]
        run.fire("a/2")
        keys.append(run.last(StepStarted).key)
        told = run.refused("a/2/0", 400)
        assert told[1:] == ["AttemptFailed a/2", "StepStarted a/3", "ModelCallRequested a/3/0"]
        keys.append(run.last(StepStarted).key)
        assert keys[0] == keys[1] != keys[2], "the agent is part of the step key"
        run.refused("a/3/0", 400)
        run.fire("a/4")
        assert run.refused("a/4/0", 400)[1:] == ["StepFailed a", "RunEnded"]

    def test_an_agent_names_its_own(self) -> None:
        run = run_of(prompt("a", agent="small"), agents=[agent("small", fallbacks=("large",)), agent("large")])
        run.start()
        assert run.refused("a/1/0", 400)[1:] == ["AttemptFailed a/1", "StepStarted a/2", "ModelCallRequested a/2/0"]

    def test_the_tools_of_whoever_takes_over_can_be_paid(self) -> None:
        step = prompt("a", agent="plain", fallback=("handy",))
        agents = [agent("plain"), agent("handy", "read_file")]
        run = KernelRun(
            plan(step, command("b"), budget=Limits(tool_calls=8)), agents=agents, tools=[tool_spec("read_file")]
        )
        run.start()
        run.refused("a/1/0", 400)
        assert run.reply("a/2/0", "", asks("read_file"))[1:] == ["ToolCallRequested a/2/1"]

    def test_what_the_first_cannot_pay_the_second_may(self) -> None:
        step = prompt("a", "x" * 500, agent="large", fallback=("small",))
        run = run_of(step, agents=[agent("large", max_tokens=5_000), agent("small", max_tokens=10)], tokens=900)
        assert run.start()[1:] == [
            "StepStarted a/1",
            "CallParked a/1/0",
            "CallRefused a/1/0",
            "AttemptFailed a/1",
            "StepStarted a/2",
            "ModelCallRequested a/2/0",
        ]
        assert run.reply("a/2/0")[-1] == "RunEnded"
        assert not [e for e in run.entries if isinstance(e.event, RunExhausted)]
