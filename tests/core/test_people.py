"""People in the kernel: approval steps, tools that need an approval, programs that ask; pause and resume."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.core.commands import CallTool
from tenuto.core.decide import waits_for_people
from tenuto.core.events.person import ApprovalRequested
from tenuto.core.events.run import RunEnded
from tenuto.core.events.step import StepFailed
from tenuto.core.merging import MergeConflict
from tenuto.core.plan import ApprovalWork, Step
from tenuto.core.report import exit_code, report
from tenuto.testing.builders import agent, command, plan, program, prompt, raw, tool_spec
from tenuto.testing.kernel import KernelRun, asks

NOTIFY = tool_spec("notify", "once", approval=True)
READ = tool_spec("read_file")


def approval(name: str, ask: str = "Go on?", **fields: Any) -> Step:
    expires_ms = fields.pop("expires_ms", None)
    values = {key: raw(value) for key, value in fields.pop("values", {}).items()}
    needs = tuple(fields.pop("needs", ()))
    return Step(name=name, needs=needs, values=values, work=ApprovalWork(ask=ask, expires_ms=expires_ms), **fields)


class TestApprovalSteps:
    def test_a_person_lets_it_pass(self) -> None:
        run = KernelRun(plan(prompt("a"), approval("ok", "Keep ${{ steps.a.output }}?", needs=["a"]), tokens=5_000))
        run.start()
        assert run.reply("a/1/0", "it")[2:] == ["StepStarted ok/1", "ApprovalRequested ok/1/0"]
        assert run.last(ApprovalRequested).question.value == "Keep it?"
        assert waits_for_people(run.state)
        assert (report(run.state)["status"], exit_code(run.state)) == ("waiting", 4)
        assert report(run.state)["waiting_for"] == ["ok/1/0"]
        assert run.answer("ok/1/0", approved=True, note="fine") == [
            "ApprovalAnswered ok/1/0",
            "StepCompleted ok",
            "RunEnded",
        ]
        output = run.state.steps["ok"].output  # type: ignore[index]
        assert output is not None
        assert output.value == {"approved": True, "details": None, "note": "fine", "who": "tester"}

    def test_what_was_shown_may_be_edited(self) -> None:
        run = KernelRun(plan(approval("ok", values={"version": "1.2"})))
        run.start()
        assert run.last(ApprovalRequested).details.value == {"version": "1.2"}
        run.answer("ok/1/0", approved=True, details={"version": "1.3"})
        assert run.state.steps["ok"].output.value["details"] == {"version": "1.3"}  # type: ignore[index,union-attr]

    def test_a_rejection_is_a_failure_that_no_attempt_mends(self) -> None:
        run = KernelRun(plan(approval("ok", on_error="continue"), command("b", needs=["ok"])))
        run.start()
        told = run.answer("ok/1/0", approved=False, note="not today")
        assert told == ["ApprovalAnswered ok/1/0", "StepFailed ok", "StepStarted b/1", "ToolCallRequested b/1/0"]
        error = run.last(StepFailed).error
        assert (error.kind, error.message) == ("rejected", "tester rejected this: not today")

    def test_time_runs_out(self) -> None:
        run = KernelRun(plan(approval("ok", expires_ms=60_000), command("b")))
        assert run.start()[2:4] == ["ApprovalRequested ok/1/0", "TimerSet ok/1/0"]
        assert not waits_for_people(run.state), "b is under way"
        run.returned("b/1/0")
        assert waits_for_people(run.state), "a timer that only ends the question needs no process"
        assert run.fire("ok/1/0") == ["TimerFired ok/1/0", "StepFailed ok", "RunEnded"]
        assert run.last(StepFailed).error.kind == "expired"

    def test_an_answer_counts_from_when_it_was_given(self) -> None:
        run = KernelRun(plan(approval("ok", expires_ms=60_000)))
        run.start()
        due = run.state.timers["ok/1/0"]
        run.at = due
        assert run.answer("ok/1/0", approved=True)[-1] == "RunEnded"
        late = KernelRun(plan(approval("ok", expires_ms=60_000)))
        late.start()
        late.at = due + 1
        with pytest.raises(ValueError, match="the time to answer ok/1/0 is over"):
            late.answer("ok/1/0", approved=True)

    def test_nobody_answers_twice_or_what_was_not_asked(self) -> None:
        run = KernelRun(plan(approval("ok"), command("b")))
        run.start()
        run.answer("ok/1/0", approved=True)
        for call, why in (("ok/1/0", "is open"), ("b/1/0", "does not wait"), ("c/1/0", "is open")):
            with pytest.raises(ValueError, match=why):
                run.answer(call, approved=True)

    def test_a_crash_forgets_no_question(self) -> None:
        run = KernelRun(plan(approval("ok", expires_ms=60_000)))
        run.start()
        assert run.resume() == ["RunResumed"]
        assert run.answer("ok/1/0", approved=True)[-1] == "RunEnded"
        assert not run.state.timers

    def test_cancelling_takes_the_question_back(self) -> None:
        run = KernelRun(plan(approval("ok", expires_ms=60_000)))
        run.start()
        assert run.cancel() == ["RunCancelled", "StepCancelled ok", "RunEnded"]
        assert (run.state.people, dict(run.state.timers), dict(run.state.calls)) == (0, {}, {})


class TestToolsThatNeedOne:
    def run(self) -> KernelRun:
        run = KernelRun(
            plan(prompt("a", agent="w")), agents=[agent("w", "notify", "read_file")], tools=[NOTIFY, READ]
        )
        run.start()
        return run

    def test_the_call_is_made_after_the_approval(self) -> None:
        run = self.run()
        assert run.reply("a/1/0", "", asks("notify", to="bob"))[1:] == ["ApprovalRequested a/1/1"]
        asked = run.last(ApprovalRequested)
        assert (asked.tool, asked.question.value, asked.details.value) == (
            "notify",
            "w wants to call notify",
            {"to": "bob"},
        )
        assert not run.commands, "nothing is started"
        assert run.answer("a/1/1", approved=True) == ["ApprovalAnswered a/1/1", "ToolCallRequested a/1/1"]
        assert run.returned("a/1/1", {"sent": True})[-1] == "ModelCallRequested a/1/2"

    def test_edited_arguments_are_what_is_called_with(self) -> None:
        run = self.run()
        run.reply("a/1/0", "", asks("notify", to="bob"))
        run.answer("a/1/1", approved=True, details={"to": "ann"})
        command = run.commands["a/1/1"]
        assert isinstance(command, CallTool)
        assert command.event.arguments.value == {"to": "ann"}
        plain = self.run()
        plain.reply("a/1/0", "", asks("notify", to="bob"))
        plain.answer("a/1/1", approved=True)
        other = plain.commands["a/1/1"]
        assert isinstance(other, CallTool)
        assert command.event.fingerprint != other.event.fingerprint
        # A crash of the call: the edited arguments stay.
        run.resume()
        run.resolve("a/1/1", done=False)
        again = run.commands["a/1/1"]
        assert isinstance(again, CallTool)
        assert again.event.arguments.value == {"to": "ann"}

    def test_a_rejection_is_told_to_the_agent(self) -> None:
        run = self.run()
        run.reply("a/1/0", "", asks("notify"))
        assert run.answer("a/1/1", approved=False, note="no") == [
            "ApprovalAnswered a/1/1",
            "ModelCallRequested a/1/2",
        ]
        result = run.state.steps["a"].frame.exchanges[-1].results[0]  # type: ignore[index,union-attr]
        assert result is not None
        assert result.value == {"error": "tester rejected this: no"}

    def test_an_agent_may_be_held_to_it_by_its_spec(self) -> None:
        run = KernelRun(
            plan(prompt("a", agent="w")), agents=[agent("w", "read_file", approve=("read_file",))], tools=[READ]
        )
        run.start()
        assert run.reply("a/1/0", "", asks("read_file"))[1:] == ["ApprovalRequested a/1/1"]


async def shy(ctx: Any, inputs: Any) -> Any:
    answers = await ctx.gather(
        ctx.approve("first?"),
        ctx.approve("second?", details={"n": 1}, expires_ms=5_000),
        ctx.tool("notify", to="all"),
    )
    return [answers[0]["approved"], answers[1]["details"], answers[2]]


class TestPrograms:
    def test_answers_in_any_order_reach_their_own_calls(self) -> None:
        run = KernelRun(plan(program("p", "shy")), tools=[NOTIFY], functions={"shy": shy})
        assert [line for line in run.start() if "Approval" in line] == [
            "ApprovalRequested p/1/0.0.0",
            "ApprovalRequested p/1/0.1.0",
            "ApprovalRequested p/1/0.2.0",
        ]
        assert run.answer("p/1/0.2.0", approved=True)[1:] == ["ToolCallRequested p/1/0.2.0"]
        run.answer("p/1/0.1.0", approved=True, details={"n": 2})
        run.resume()
        run.resolve("p/1/0.2.0", done=True, result="sent")
        assert run.answer("p/1/0.0.0", approved=False)[-1] == "RunEnded"
        output = run.state.steps["p"].output  # type: ignore[index]
        assert output is not None
        assert output.value == [False, {"n": 2}, "sent"]


async def shipping(ctx: Any, _inputs: Any) -> Any:
    async def lane(number: int) -> None:
        await ctx.tool("write", n=number)
        await ctx.tool("ship", n=number)

    await ctx.gather(lane(0), lane(1))


class TestDoubt:
    def test_a_call_that_was_made_leaves_the_tree_of_its_lane_as_it_was(self) -> None:
        tools = [tool_spec("write", "workspace"), tool_spec("ship", "once")]
        run = KernelRun(plan(program("p", "shipping")), tools=tools, functions={"shipping": shipping})
        run.start()
        run.returned("p/1/0.0.0", {}, tree="Ta")
        run.returned("p/1/0.1.0", {}, tree="Tb")
        run.resume()
        run.resolve("p/1/0.0.1", done=True, result={})
        assert run.resolve("p/1/0.1.1", done=True, result={})[-1] == "MergeRequested p/1/0.m"
        run.merged("p/1/0.m", "Tab")
        assert (run.state.status, run.state.tree) == ("ok", "Tab")


class TestPause:
    def test_calls_under_way_end_and_none_starts(self) -> None:
        run = KernelRun(plan(prompt("a"), prompt("b", needs=["a"]), command("c")))
        run.start()
        assert run.pause() == ["RunPaused"]
        assert run.reply("a/1/0") == ["ModelReplied a/1/0"]
        assert run.returned("c/1/0") == ["ToolReturned c/1/0"]
        assert (report(run.state)["status"], exit_code(run.state)) == ("paused", 4)
        told = run.resume()
        assert told[0] == "RunResumed"
        assert set(told[1:]) == {"StepCompleted a", "StepStarted b/1", "ModelCallRequested b/1/0", "StepCompleted c"}
        assert run.reply("b/1/0")[-1] == "RunEnded"

    def test_the_result_is_that_of_a_run_that_was_not_paused(self) -> None:
        results = []
        for pauses in (False, True):
            run = KernelRun(plan(prompt("a"), prompt("b", needs=["a"])))
            run.start()
            if pauses:
                run.pause()
            run.reply("a/1/0")
            if pauses:
                run.resume()
            run.reply("b/1/0")
            results.append(run.state.result)
        assert results[0] == results[1]

    def test_a_paused_run_can_be_cancelled(self) -> None:
        run = KernelRun(plan(prompt("a")))
        run.start()
        run.pause()
        assert run.cancel()[-1] == "RunEnded"

    def test_a_conflict_that_comes_during_a_pause_still_fails_the_run(self) -> None:
        run = KernelRun(plan(command("a"), command("b")))
        run.start()
        run.returned("a/1/0", tree="Ta")
        assert run.returned("b/1/0", tree="Tb")[-1] == "MergeRequested end/0/0"
        run.pause()
        run.merged("end/0/0", None, MergeConflict(path="f", steps=("a", "b")))
        assert run.resume() == ["RunResumed", "RunEnded"]
        assert (run.state.status, run.last(RunEnded).error) == ("failed", "branches changed the same text: f (a, b)")
