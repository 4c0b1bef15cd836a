"""A changed decision holds for new runs; a run that began before it goes on as it began."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.core.budget import DIMENSIONS, Limits
from tenuto.core.events.step import StepExpanded, StepStarted
from tenuto.core.ids import StepPath
from tenuto.core.logic import LOGIC_VERSION
from tenuto.core.plan import Plan, PlanWork, Step
from tenuto.core.records import decode
from tenuto.core.shares import PLENTY
from tenuto.testing.builders import agent, plan, prompt, raw
from tenuto.testing.kernel import KernelRun, check_ledger

THRIFTY = agent("thrifty", limits=Limits(model_calls=1))
ITEMS = ["a", "b", "c"]


def items(**fields: Any) -> Plan:
    return plan(prompt("first"), prompt("each", "Do ${{ item }}", agent="thrifty", foreach=ITEMS, **fields))


def asked(run: KernelRun) -> list[str]:
    return [name for name in run.commands if "/1/" in name]


@pytest.mark.parametrize(("logic", "calls"), [(1, ["each[0]/1/0"]), (2, [f"each[{i}]/1/0" for i in range(3)])])
def test_the_limits_of_an_agent_hold_for_each_item_since_logic_2(logic: int, calls: list[str]) -> None:
    run = KernelRun(items(needs=["first"], on_error="continue"), agents=[THRIFTY], logic=logic)
    run.start()
    run.reply("first/1/0")
    assert asked(run) == calls
    for call in calls:
        run.reply(call)
        check_ledger(run.state)
    assert run.state.status == "ok"
    assert [step.status for step in run.state.steps.values() if step.path.startswith("each[")].count("completed") == (
        len(calls)
    )


@pytest.mark.parametrize("logic", range(1, LOGIC_VERSION + 1))
def test_a_run_goes_on_under_the_logic_that_it_started_with(logic: int) -> None:
    run = KernelRun(items(needs=["first"], on_error="continue"), agents=[THRIFTY], logic=logic)
    run.start()
    run.resume()
    run.reply("first/1/0")
    expanded = run.last(StepExpanded)
    assert run.state.logic == logic
    assert expanded.share.model_calls == (0 if logic == 1 else 1)


@pytest.mark.parametrize(("logic", "given"), [(1, 1), (2, 2)])
def test_the_budget_of_a_sub_plan_holds_for_each_item_since_logic_2(logic: int, given: int) -> None:
    inner = plan(prompt("one"), budget=Limits(model_calls=1))
    sub = Step(name="sub", foreach=raw(["x", "y"]), on_error="continue", work=PlanWork(plan=inner))
    run = KernelRun(plan(sub), logic=logic)
    run.start()
    assert len(asked(run)) == given


@pytest.mark.parametrize("logic", [1, 2])
def test_a_declared_budget_holds_for_all_items_together(logic: int) -> None:
    run = KernelRun(
        items(needs=["first"], on_error="continue", budget=Limits(model_calls=2)), agents=[THRIFTY], logic=logic
    )
    run.start()
    run.reply("first/1/0")
    while asked(run):
        run.reply(asked(run)[0])
    spent = sum(run.state.account(f"each[{i}]").spent.model_calls for i in range(3))
    assert spent == 2


@pytest.mark.parametrize(("logic", "given"), [(1, 5), (2, 1)])
def test_the_limits_of_an_agent_hold_beside_a_declared_budget_since_logic_2(logic: int, given: int) -> None:
    run = KernelRun(plan(prompt("one", agent="thrifty", budget=Limits(model_calls=5))), agents=[THRIFTY], logic=logic)
    run.start()
    assert run.last(StepStarted).account.model_calls == given


def test_an_item_is_never_topped_up_beyond_the_limits_of_its_agent() -> None:
    """One item wants to correct itself: what the others and the run leave over is not its."""
    run = KernelRun(
        plan(
            prompt(
                "each",
                "${{ item }}",
                agent="thrifty",
                foreach=["a", "b"],
                on_error="continue",
                output={"type": "integer"},
            ),
            budget=Limits(model_calls=9),
        ),
        agents=[THRIFTY],
    )
    run.start()
    run.reply("each[0]/1/0", "no number", violations=("not an integer",))
    run.reply("each[1]/1/0", "2")
    first, second = (run.state.steps[StepPath(f"each[{i}]")] for i in range(2))
    assert (first.status, second.status) == ("failed", "completed")
    assert first.error is not None
    assert first.error.kind == "budget"
    check_ledger(run.state)


def test_an_item_is_topped_up_to_the_limits_of_its_agent_and_asked_agents_count() -> None:
    """The share of an item is less than its agent may spend: what the run has left over fills it up to that."""
    able = agent("able", limits=Limits(model_calls=3))
    run = KernelRun(
        plan(
            prompt("each", "${{ item }}", agent="able", foreach=["a", "b"], output={"type": "integer"}),
            budget=Limits(model_calls=3),
        ),
        agents=[able],
    )
    run.start()
    assert run.last(StepExpanded).share.model_calls == 1
    run.reply("each[1]/1/0", "2")
    run.reply("each[0]/1/0", "no number", violations=("not an integer",))
    run.reply("each[0]/1/1", "1")
    assert run.state.status == "ok"
    check_ledger(run.state)


def test_records_of_a_resume_hold_no_logic() -> None:
    run = KernelRun(items(), agents=[THRIFTY])
    run.start()
    run.resume()
    entry = next(e for e in run.entries if b'"kind":"RunResumed"' in e.body)
    assert b"logic" not in entry.body
    assert decode(entry.body).event == entry.event


def test_a_dimension_without_a_limit_stays_without_one() -> None:
    run = KernelRun(items(needs=["first"]), agents=[THRIFTY])
    run.start()
    run.reply("first/1/0")
    assert run.state.spec.limited == ("model_calls",)
    assert run.state.account("each").granted.model_calls == PLENTY
    assert set(run.state.spec.limited) <= set(DIMENSIONS)
