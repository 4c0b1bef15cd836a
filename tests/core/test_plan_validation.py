from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from tenuto.core.agents import AgentSpec
from tenuto.core.canonical import canonical
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import Defaults, Plan, PromptWork, Retry, RunWork, Step, UsesWork
from tenuto.core.plan_graph import PlanGraph
from tenuto.core.validation import validate_plan
from tenuto.errors import InvalidPlanError


def run(name: str, *needs: str, **more: Any) -> Step:
    return Step(name=name, needs=needs, work=RunWork(command="ls"), **more)


def problems(*steps: Step, agents: dict[str, AgentSpec] | None = None, **more: Any) -> list[str]:
    try:
        validate_plan(Plan(**{"name": "p", "steps": steps} | more), agents or {}, ["read_file"])
    except InvalidPlanError as error:
        return [f"{e.what}; {e.fix}" for e in error.errors]
    return []


def test_a_plan_built_in_python_is_held_to_the_same_rules() -> None:
    good = AgentSpec(name="a", tools=("read_file",), model="mock:")
    prompt = Step(name="b", needs=("a",), work=PromptWork(agent="a", text="${{ steps.a.output }}"))
    assert problems(run("a"), prompt, agents={"a": good}) == []
    assert problems() == ["steps: a plan needs at least one step; write one, such as hello: {run: echo hello}"]
    assert problems(run("a"), run("a")) == ["steps.a: two steps have this name; rename one"]
    assert problems(run("a"), name="")[0].startswith("name: a plan's name is one line of 1 to 100 characters")
    assert problems(run("a"), merge=MergePolicy(kind="agent", agent="x")) == [
        "merge: the end of a plan has no agent to settle conflicts; "
        "add a last step that needs the others, and write it there"
    ]


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (run("1"), "steps.1: a step cannot have this name"),
        (run("end"), "steps.end: the name end is taken"),
        (run("a", timeout_ms=0), "steps.a.timeout: 0 is too small"),
        (run("a", max_tokens=-1), "steps.a.max_tokens: -1 is too small"),
        (run("a", retry=Retry(tries=0)), "steps.a.retry.tries: 0 is too small"),
        (run("a", retry=Retry(backoff_ms=-1)), "steps.a.retry.backoff: a backoff is never negative"),
        (run("a", merge=MergePolicy(kind="older")), "steps.a.merge: older is for bases only"),
        (run("a", foreach=Raw(b"5")), "steps.a.foreach: foreach is neither a list nor an expression"),
        (run("a", model="x"), "steps.a.model: x does not name a model"),
        (Step(name="a", work=UsesWork(target="a:b")), "steps.a.uses: a:b names no function"),
        (Step(name="a", work=RunWork(command="a\x00")), "steps.a.run: a command cannot hold NUL"),
        (Step(name="a", work=PromptWork(text="${{ with.x }}")), "steps.a.prompt: ${{ with.x }}: with has no x"),
        (run("a", output=Raw(canonical({"enum": "${{ item }}"}))), "steps.a.output.enum: ${{ item }}: item is known"),
    ],
)
def test_each_rule_has_its_line(step: Step, problem: str) -> None:
    found = problems(step)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_defaults_and_agents_are_checked() -> None:
    assert problems(run("a"), defaults=Defaults(max_tokens=0))[0].startswith("defaults.max_tokens: 0 is too small")
    found = problems(run("a"), agents={"x": AgentSpec(name="x", tools=("read_fil",), at_once=0)})
    assert found[0].startswith("agents.x.at_once: 0 is too small")
    assert found[1] == "agents.x.tools[0]: there is no tool read_fil; did you mean read_file?"
    validate_plan(Plan(name="p", steps=(run("a"),)), {"x": AgentSpec(name="x", tools=("any",))}, None)


def test_places_are_those_of_the_nearest_part() -> None:
    plan = Plan(name="p", steps=(run("a", "b", "c"),))
    with pytest.raises(InvalidPlanError) as caught:
        validate_plan(plan, {}, (), {"steps.a.needs": "p:1:1", "steps.a.needs[1]": "p:1:5"})
    assert [error.where for error in caught.value.errors] == ["p:1:1", "p:1:5"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8))
def test_ancestors_and_circles_agree_with_walking(needs: list[list[int]]) -> None:
    names = [f"s{i}" for i in range(len(needs))]
    wanted = {f"s{i}": [f"s{n}" for n in of if n < len(needs) and n != i] for i, of in enumerate(needs)}
    graph = PlanGraph.of([run(name, *wanted[name]) for name in names])

    def reach(name: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(wanted[name])
        while waiting:
            at = waiting.pop()
            if at not in seen:
                seen.add(at)
                waiting += wanted[at]
        return seen

    if any(name in reach(name) for name in names):
        assert graph.cycle[0] == graph.cycle[-1]
        assert len(graph.cycle) > 2
        assert all(b in wanted[a] for a, b in zip(graph.cycle, graph.cycle[1:], strict=False))
    else:
        assert graph.cycle == ()
        for name in names:
            assert {other for other in names if graph.is_ancestor(other, name)} == reach(name)


@pytest.mark.parametrize("condition", ["1", '"true"', "null"])
def test_a_condition_that_can_never_be_one_is_refused(condition: str) -> None:
    (problem,) = problems(run("a", condition=condition))
    assert problem.startswith(f"steps.a.if: ${{{{ {condition} }}}}: a condition is true or false")
    assert problems(run("a", condition="1 == 1")) == problems(run("a", condition="false")) == []
