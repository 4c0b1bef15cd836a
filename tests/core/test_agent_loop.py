"""The agent loop, policies, limits and children, in the kernel."""

from __future__ import annotations

import pytest

from tenuto.core.budget import Limits
from tenuto.core.commands import CallModel, CallTool
from tenuto.core.events.call import ModelCallRequested, ToolCallRequested
from tenuto.core.events.run import RunExhausted
from tenuto.core.events.step import StepFailed
from tenuto.core.ids import Position, StepPath
from tenuto.core.plan import Retry
from tenuto.core.requests import CancelRun, Refusal, ResolveCall, admit
from tenuto.testing.builders import agent, command, plan, prompt, tool_spec
from tenuto.testing.kernel import KernelRun, asks

LOOK = tool_spec("look")
RUN = tool_spec("run", "workspace")


def test_an_agent_may_use_its_own_tools_only() -> None:
    run = KernelRun(
        plan(prompt("a", agent="shy")), agents=[agent("shy", "look")], tools=[LOOK, tool_spec("drop", "once")]
    )
    run.start()
    run.reply("a/1/0", "", asks("drop", table="users"))
    asked = run.last(ToolCallRequested)
    assert (asked.effect, asked.version) == ("read", "")
    made = run.commands["a/1/1"]
    assert isinstance(made, CallTool)
    assert made.offered == ("look",)


def test_iterations_are_limited() -> None:
    run = KernelRun(plan(prompt("a", agent="w")), agents=[agent("w", "look", iterations_max=2)], tools=[LOOK])
    run.start()
    run.reply("a/1/0", "", asks("look"))
    run.returned("a/1/1", {})
    run.reply("a/1/2", "", asks("look"))
    assert run.returned("a/1/3", {}) == ["ToolReturned a/1/3", "StepFailed a", "RunEnded"]
    assert run.last(StepFailed).error.kind == "iterations"


def test_an_answer_against_its_schema_is_corrected_twice_at_most() -> None:
    run = KernelRun(plan(prompt("a", output={"type": "object"})))
    run.start()
    for ordinal in (0, 1):
        assert run.reply(f"a/1/{ordinal}", "no", violations=["$: not JSON"])[1:] == [
            f"ModelCallRequested a/1/{ordinal + 1}"
        ]
        made = run.commands[f"a/1/{ordinal + 1}"]
        assert isinstance(made, CallModel)
        assert "$: not JSON" in made.messages[-1].text
    assert run.reply("a/1/2", "no", violations=["$: not JSON"])[1:] == ["StepFailed a", "RunEnded"]


@pytest.mark.parametrize("text", ['{"a":' + "1" * 1_500 + "}", '{"a":1e400}', "{"])
def test_an_answer_beyond_canonical_range_is_corrected_too(text: str) -> None:
    run = KernelRun(plan(prompt("a", output={"type": "object"})))
    run.start()
    assert run.reply("a/1/0", text)[1:] == ["ModelCallRequested a/1/1"]


def test_a_corrected_answer_is_the_output() -> None:
    run = KernelRun(plan(prompt("a", output={"type": "object"}), outputs={}))
    run.start()
    run.reply("a/1/0", "no", violations=["$: not JSON"])
    run.reply("a/1/1", '{"b": 1, "a": 2}')
    output = run.state.steps[StepPath("a")].output
    assert output is not None
    assert output.data == b'{"a":2,"b":1}'


def test_an_item_that_a_template_cannot_use_fails_its_child() -> None:
    step = prompt("a", "${{ item.name }}", foreach=[{"name": "x"}, {"other": 1}, {"name": "z"}], on_error="continue")
    run = KernelRun(plan(step))
    told = run.start()
    assert "StepFailed a[1]" in told
    run.reply("a[0]/1/0")
    run.reply("a[2]/1/0")
    assert run.state.status == "ok"


def test_a_failing_child_lets_earlier_ones_finish_and_cancels_later_ones() -> None:
    run = KernelRun(plan(prompt("a", "${{ item }}", foreach=[1, 2, 3]), prompt("b", needs=["a"])))
    run.start()
    assert run.refused("a[1]/1/0", 400) == [
        "ModelCallFailed a[1]/1/0",
        "StepFailed a[1]",
        "CallLost a[2]/1/0",
        "StepCancelled a[2]",
    ]
    assert run.reply("a[0]/1/0") == [
        "ModelReplied a[0]/1/0",
        "StepCompleted a[0]",
        "StepFailed a",
        "StepCancelled b",
        "RunEnded",
    ]


def test_keys_tell_children_apart_and_two_equal_ones_fail() -> None:
    step = prompt("a", "${{ item }}", foreach=["src/a.py", "b"], key="${{ item }}")
    run = KernelRun(plan(step))
    assert "StepStarted a[src%2Fa.py]/1" in run.start()
    twice = KernelRun(plan(prompt("a", "${{ item }}", foreach=["x", "x"], key="${{ item }}")))
    twice.start()
    assert "two items have the key" in twice.last(StepFailed).error.message


@pytest.mark.parametrize("policy", ["fail", "continue", "skip"])
def test_policies(policy: str) -> None:
    run = KernelRun(
        plan(prompt("early"), prompt("bad", on_error=policy), command("after", needs=["bad"])), tools=[RUN]
    )
    run.start()
    told = run.refused("bad/1/0", 400)[2:]
    if policy == "fail":
        assert told == ["StepCancelled after"], "the step before it still finishes"
        assert run.reply("early/1/0") == ["ModelReplied early/1/0", "StepCompleted early", "RunEnded"]
        assert run.state.status == "failed"
    else:
        assert told == (
            ["StepSkipped after"] if policy == "skip" else ["StepStarted after/1", "ToolCallRequested after/1/0"]
        )


def test_what_an_earlier_step_needs_is_not_cancelled() -> None:
    results = set()
    for first in ("bad", "wanted"):
        run = KernelRun(plan(prompt("early", needs=["wanted"]), prompt("bad"), prompt("wanted")))
        run.start()
        for name in (first, "wanted" if first == "bad" else "bad"):
            if name == "bad":
                run.refused("bad/1/0", 400)
            else:
                run.reply("wanted/1/0")
        run.reply("early/1/0")
        results.add((run.state.status, run.state.result))
    assert len(results) == 1


def test_an_agents_places_are_limited_over_the_run() -> None:
    run = KernelRun(
        plan(prompt("a", agent="one"), prompt("b", agent="one"), prompt("c")), agents=[agent("one", at_once=1)]
    )
    told = run.start()
    assert [kind for kind in told if "Requested" in kind] == ["ModelCallRequested a/1/0", "ModelCallRequested c/1/0"]
    assert "ModelCallRequested b/1/0" in run.reply("a/1/0")
    run.resume()
    assert dict(run.state.group_open) == {"agent:one": 1}


def test_one_place_is_enough() -> None:
    run = KernelRun(plan(prompt("a"), prompt("b"), command("c")), tools=[RUN], max_parallel=1)
    run.start()
    run.reply("a/1/0")
    run.reply("b/1/0")
    run.returned("c/1/0")
    assert run.state.status == "ok"


def test_time_runs_out_and_more_is_given() -> None:
    run = KernelRun(plan(prompt("a"), prompt("b", needs=["a"]), budget=Limits(time_ms=1_000)))
    run.start()
    run.at += 2_000_000
    assert run.reply("a/1/0")[-1] == "RunExhausted"
    assert run.last(RunExhausted).why == "time"
    assert run.resume(add_time_ms=5_000)[-1] == "ModelCallRequested b/1/0"
    run.reply("b/1/0")
    assert run.state.status == "ok"


def test_time_between_engines_does_not_count() -> None:
    run = KernelRun(plan(prompt("a"), prompt("b", needs=["a"]), budget=Limits(time_ms=1_000)))
    run.start()
    run.at += 3_600_000_000
    run.resume()
    run.reply("a/1/0")
    assert run.reply("b/1/0")[-1] == "RunEnded"


def test_a_providers_overrun_stops_the_account() -> None:
    run = KernelRun(
        plan(prompt("a", agent="w", max_tokens=50), tokens=500),
        agents=[agent("w", "look")],
        tools=[LOOK],
        checked=False,
    )
    run.start()
    told = run.reply("a/1/0", "", asks("look"), usage=(10, 900))
    assert told == ["ModelReplied a/1/0", "CallParked a/1/1", "RunExhausted"]
    assert run.tokens("a") == (500 - 910, 0, 910)


def test_requests_that_make_no_sense_are_refused() -> None:
    run = KernelRun(plan(prompt("a")))
    run.start()
    assert isinstance(admit(run.state, ResolveCall(call=Position("a/1/0"), done=True), asked_at_us=1), Refusal)
    assert isinstance(admit(run.state, ResolveCall(call=Position("b/1/0"), done=True), asked_at_us=1), Refusal)
    assert not isinstance(admit(run.state, CancelRun(), asked_at_us=1), Refusal)
    run.reply("a/1/0")
    assert isinstance(admit(run.state, CancelRun(), asked_at_us=1), Refusal)


def test_while_its_tool_is_asked_nobody_else_resolves_a_call() -> None:
    run = KernelRun(
        plan(prompt("a", agent="w")),
        agents=[agent("w", "pay")],
        tools=[tool_spec("pay", "once", reconcilable=True)],
    )
    run.start()
    run.reply("a/1/0", "", asks("pay"))
    run.resume()
    request = ResolveCall(call=Position("a/1/1"), done=True)
    assert isinstance(admit(run.state, request, asked_at_us=1), Refusal)
    run.reconcile("a/1/1", done=None)
    assert not isinstance(admit(run.state, request, asked_at_us=1), Refusal)


@pytest.mark.parametrize("effect", ["once", "idempotent"])
def test_a_tool_that_does_not_come_back(effect: str) -> None:
    run = KernelRun(
        plan(prompt("a", agent="w", retry=Retry(tries=2, backoff_ms=1))),
        agents=[agent("w", "pay")],
        tools=[tool_spec("pay", effect)],  # type: ignore[arg-type]  # one of the effects
    )
    run.start()
    run.reply("a/1/0", "", asks("pay"))
    key = run.last(ToolCallRequested).key
    told = run.tool_lost("a/1/1")
    if effect == "once":
        assert told[1:] == ["CallInDoubt a/1/1"]
        return
    assert told[1:] == ["TimerSet a/1/1"]
    run.fire("a/1/1")
    assert (run.last(ToolCallRequested).key, run.last(ToolCallRequested).try_number) == (key, 2)


def test_a_call_in_doubt_is_kept_when_the_run_is_cancelled() -> None:
    run = KernelRun(
        plan(prompt("a", agent="w"), budget=Limits(tool_calls=5)),
        agents=[agent("w", "pay")],
        tools=[tool_spec("pay", "once")],
    )
    run.start()
    run.reply("a/1/0", "", asks("pay"))
    run.resume()
    assert run.cancel() == ["RunCancelled", "CallLost a/1/1", "StepCancelled a", "RunEnded"]
    assert run.state.people == 0
    assert run.state.in_doubt.tool_calls == 1


def test_layers_that_need_each_other_whole_do_not_explode() -> None:
    layers, width = 9, 4
    steps = []
    for layer in range(layers):
        needs = [f"s{layer - 1}_{i}" for i in range(width)] if layer else []
        steps += [command(f"s{layer}_{i}", needs=needs) for i in range(width)]
    run = KernelRun(plan(*steps), tools=[RUN], checked=False)
    run.start()
    longest = 0
    for layer in range(layers):
        for i in range(width):
            name = f"s{layer}_{i}"
            if f"{name}/0/0" in run.commands:
                longest = max(longest, len(run.entries[-1].body))
                run.merged(f"{name}/0/0", f"M{layer}")
            run.returned(f"{name}/1/0", tree=f"T{layer}_{i}")
    run.merged("end/0/0", "Tend")
    assert run.state.status == "ok"
    assert longest < 10_000, "one merge names its trees and bases, not the whole history"


def test_a_second_try_of_a_model_call_is_the_same_request() -> None:
    run = KernelRun(plan(prompt("a", retry=Retry(backoff_ms=1))))
    run.start()
    first = run.last(ModelCallRequested)
    run.refused("a/1/0", 500)
    run.fire("a/1/0")
    second = run.last(ModelCallRequested)
    assert (first.fingerprint, first.parts, first.config) == (second.fingerprint, second.parts, second.config)
