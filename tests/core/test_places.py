"""Places for open calls: of the run, of an agent, of a provider."""

from __future__ import annotations

from tenuto.testing.builders import agent, plan, prompt
from tenuto.testing.kernel import KernelRun


def open_calls(run: KernelRun) -> list[str]:
    return sorted(run.commands)


def test_a_providers_places_bound_its_open_calls_and_no_others() -> None:
    steps = (*(prompt(f"m{i}") for i in range(3)), prompt("other", model="local:"))
    run = KernelRun(plan(*steps), provider_places={"mock": 2}, max_parallel=8)
    run.start()
    assert open_calls(run) == ["m0/1/0", "m1/1/0", "other/1/0"]
    assert run.reply("m1/1/0")[1] == "ModelCallRequested m2/1/0", "the next in the queue has the place at once"


def test_a_call_that_waits_for_its_provider_holds_no_money() -> None:
    run = KernelRun(plan(prompt("a"), prompt("b"), tokens=5_000), provider_places={"mock": 1})
    run.start()
    assert open_calls(run) == ["a/1/0"]
    assert run.tokens("b")[1] == 0
    run.resume()
    assert run.state.in_doubt.tokens == run.tokens("a")[2] > 0, "only the one call that was made can be in doubt"


def test_the_limits_of_agent_and_provider_hold_together() -> None:
    steps = (*(prompt(f"a{i}", agent="one") for i in range(2)), prompt("b0", agent="two"), prompt("b1", agent="two"))
    agents = [agent("one", at_once=1), agent("two")]
    run = KernelRun(plan(*steps), agents=agents, provider_places={"mock": 2}, max_parallel=8)
    run.start()
    assert open_calls(run) == ["a0/1/0", "b0/1/0"]
    assert dict(run.state.group_open) == {"agent:one": 1, "provider:mock": 2}
    run.reply("b0/1/0")
    assert open_calls(run) == ["a0/1/0", "b1/1/0"], "a1 came first, but its agent has one place only"
    run.reply("a0/1/0")
    assert open_calls(run) == ["a1/1/0", "b1/1/0"]
    run.reply("a1/1/0")
    run.reply("b1/1/0")
    assert not any(run.state.group_open.values())
