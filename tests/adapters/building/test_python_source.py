"""The source that `to_python` writes builds the same plan: YAML -> Plan -> YAML -> Python -> Plan."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from tenuto import build, plan_from_yaml, plan_to_yaml
from tenuto.core.agents import AgentSpec
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import Plan, PlanWork, RunWork, Step, WaitWork
from tenuto.errors import InvalidPlanError
from tenuto.testing.builders import command, plan, prompt
from tenuto.testing.plans import plans

Generated = tuple[Plan, dict[str, AgentSpec]]
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))


def rebuilt(source: str) -> Generated:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["plan"], {agent.name: agent for agent in namespace["agents"]}


def check_round_trip(generated: Generated) -> None:
    made, agents = generated
    read = plan_from_yaml(plan_to_yaml(made, agents))
    source = build.to_python(read.plan, read.agents)
    again, team = rebuilt(source)
    assert again == made
    assert again.digest == made.digest
    assert team == agents
    assert build.to_python(again, team) == source
    assert plan_to_yaml(again, team) == plan_to_yaml(read.plan, read.agents)


@settings(SLOW, max_examples=40)
@given(plans())
def test_a_plan_goes_through_yaml_and_python_unchanged(generated: Generated) -> None:
    check_round_trip(generated)


@pytest.mark.battery
@pytest.mark.timeout(1_800)
@settings(SLOW, max_examples=200)
@given(plans(depth=2))
def test_many_plans_go_through_yaml_and_python_unchanged(generated: Generated) -> None:
    check_round_trip(generated)


def test_the_source_is_what_people_would_write() -> None:
    poet = build.agent("poet", "You write poems.", tools=["read_file"], timeout="30s")
    idea = build.prompt("idea", "Suggest a name for a cat.", agent=poet)
    made = build.plan(
        "hello",
        idea,
        build.prompt("poem", "A poem.\n" + f"On {build.output(idea)}. " * 6, needs=idea, output={"type": "string"}),
        budget=build.limits(tokens=50_000, usd="0.50"),
        outputs={"poem": build.output("poem")},
    )
    assert build.to_python(made, {"poet": poet}) == (
        "from tenuto import build\n"
        "\n"
        "plan = build.plan(\n"
        "    'hello',\n"
        "    build.prompt('idea', 'Suggest a name for a cat.', agent='poet'),\n"
        "    build.prompt(\n"
        "        'poem',\n"
        "        (\n"
        "            'A poem.\\n'\n"
        "            'On ${{ steps.idea.output }}. On ${{ steps.idea.output }}. On ${{ steps.idea.output }}. "
        "On ${{ steps.idea.output }}. On ${{ steps.idea.output }}. On ${{ steps.idea.output }}. '\n"
        "        ),\n"
        "        needs=['idea'],\n"
        "        output={'type': 'string'},\n"
        "    ),\n"
        "    budget=build.limits(tokens=50000, usd='0.50'),\n"
        "    outputs={'poem': '${{ steps.poem.output }}'},\n"
        ")\n"
        "agents = [build.agent('poet', 'You write poems.', timeout='30s', tools=['read_file'])]\n"
    )


def test_files_of_a_plan_keep_their_names() -> None:
    inner = Plan(name="inner", agents=("x/*.md",), steps=(command("a"),))
    made = Plan(
        name="outer",
        agents=("agents/*.md",),
        steps=(
            Step(name="a", work=msgspec.structs.replace(prompt("a").work, source="a.md")),
            Step(name="b", work=PlanWork(plan=inner, source="inner.plan.yaml")),
        ),
    )
    assert rebuilt(build.to_python(made)) == (made, {})


CANNOT = {
    "a model in a run step": Step(name="a", work=RunWork(command="x"), model="mock:"),
    "JSON that is not canonical": Step(name="a", work=WaitWork(duration="1s"), values={"v": msgspec.Raw(b"[ 1 ]")}),
    "a merge of bases": Step(name="a", work=RunWork(command="x"), merge=MergePolicy(kind="older")),
    "a negative time": Step(name="a", work=RunWork(command="x"), timeout_ms=-5),
    "two sub-plans": Step(name="a", work=PlanWork(plan=plan(command("b")), text="${{ 1 }}")),
}


@pytest.mark.parametrize("why", CANNOT)
def test_what_no_builder_gives_is_refused(why: str) -> None:
    with pytest.raises(InvalidPlanError):
        build.to_python(plan(CANNOT[why]))
