"""Cancelling in the kernel: what nobody wants never starts, and ending it costs what it is, not its square."""

from __future__ import annotations

import pytest

from tenuto.core.events.call import CallLost, ToolCallRequested
from tenuto.core.events.run import RunEnded
from tenuto.core.plan import Plan, PlanWork, Repeat, Retry, RunWork, Step
from tenuto.core.state import StepState
from tenuto.testing.builders import command, plan, prompt
from tenuto.testing.kernel import KernelRun


def wide(count: int) -> Plan:
    return plan(*(command(f"s{i}") for i in range(count)))


def inside(inner: Plan) -> Plan:
    return plan(Step(name="do", on_error="continue", work=PlanWork(plan=inner)))


@pytest.mark.parametrize(
    "whole",
    [wide(8), inside(wide(8)), plan(command("s", foreach=list(range(8))))],
    ids=["plan", "sub-plan", "foreach"],
)
def test_calls_in_the_queue_of_what_has_failed_never_start(whole: Plan) -> None:
    run = KernelRun(whole, max_parallel=2)
    run.start()
    run.returned(next(iter(run.commands)), {"exit_code": 1}, status="error")
    assert run.state.ended
    events = [entry.event for entry in run.entries]
    # The place of the call that failed is given on before its step has ended: that one call is lost at once.
    assert sum(isinstance(event, ToolCallRequested) for event in events) == 3
    assert sum(isinstance(event, CallLost) for event in events) == 2


def test_what_stands_before_the_failing_item_still_ends() -> None:
    run = KernelRun(plan(command("s", foreach=[0, 1, 2, 3])), max_parallel=2)
    run.start()
    run.returned("s[1]/1/0", {"exit_code": 1}, status="error")
    assert sorted(run.commands) == ["s[0]/1/0"]
    assert run.returned("s[0]/1/0")[1:] == ["StepCompleted s[0]", "StepFailed s", "RunEnded"]


def test_a_queue_goes_on_behind_calls_that_were_dropped() -> None:
    run = KernelRun(plan(*inside(wide(4)).steps, command("after")), max_parallel=1)
    run.start()
    run.returned("do/s0/1/0", {"exit_code": 1}, status="error")
    assert sorted(run.commands) == ["after/1/0"]
    assert run.returned("after/1/0")[-1] == "RunEnded"


def test_timers_between_tries_end_with_their_step() -> None:
    retry = Retry(tries=3)
    run = KernelRun(plan(command("a", retry=retry), prompt("b", retry=retry), command("c")))
    run.start()
    run.tool_lost("a/1/0")
    run.refused("b/1/0")
    assert len(run.state.timers) == 2
    assert run.cancel()[-1] == "RunEnded"
    assert not run.state.timers


@pytest.mark.parametrize(
    "whole",
    [
        wide(3_000),
        inside(wide(3_000)),
        plan(command("s", foreach=list(range(3_000)))),
        plan(command("s", foreach=list(range(1_500)), repeat=Repeat(max=3))),
    ],
    ids=["plan", "sub-plan", "foreach", "foreach of repeats"],
)
def test_looking_for_what_is_to_be_cancelled_does_not_start_over(
    whole: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = KernelRun(whole, max_parallel=64, checked=False)
    run.start()
    looked = 0

    def ended(step: StepState) -> bool:
        nonlocal looked
        looked += 1
        return step.status in ("completed", "failed", "skipped", "cancelled")

    monkeypatch.setattr(StepState, "ended", property(ended))
    run.cancel()
    assert run.state.ended
    assert looked < 8 * len(run.state.steps)


def test_a_loop_that_never_waits_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.core.decide.TURN_LONG", 500)
    idle = plan(Step(name="x", condition="false", work=RunWork(command="true")))
    loop = Step(name="do", repeat=Repeat(max=1_000_000), work=PlanWork(plan=idle))
    run = KernelRun(plan(command("a"), Step(name="b", work=PlanWork(plan=plan(loop)))))
    run.start()
    ended = run.last(RunEnded)
    assert (run.state.status, ended.failed_step) == ("failed", None)
    assert ended.error.startswith("more than 500 records followed from one")
    assert not any((run.state.calls, run.state.timers, run.state.queue, run.state.people))
    assert all(step.ended for step in run.state.steps.values())
