"""Plans are written so that they read back as the same plan."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from tenuto.adapters.plans.plan_file import load_plan
from tenuto.adapters.plans.plan_files import write_plan
from tenuto.adapters.plans.plan_values import AGENT_FIELDS, PLAN_FIELDS, STEP_FIELDS
from tenuto.adapters.plans.plan_writing import plan_from_yaml, plan_to_yaml, self_contained
from tenuto.adapters.plans.schema import schema
from tenuto.adapters.plans.yaml_document import read_yaml
from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.core.plan import Defaults, InputSpec, Plan, PlanWork, PromptWork, Retry, RunWork, Step, WaitWork
from tenuto.core.tools import Grants
from tenuto.errors import InvalidPlanError
from tenuto.testing import plans as generated_plans
from tenuto.testing.builders import command, plan, prompt, raw
from tenuto.testing.plans import plans

Generated = tuple[Plan, dict[str, AgentSpec]]
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
VALIDATOR = jsonschema_rs.validator_for(schema("plan"))


def check_round_trip(generated: Generated) -> None:
    made, agents = generated
    text = plan_to_yaml(made, agents)
    back = plan_from_yaml(text)
    assert back.plan == made
    assert back.plan.digest == made.digest
    assert back.agents == agents
    again = plan_to_yaml(back.plan, back.agents)
    assert plan_from_yaml(again).plan == made
    VALIDATOR.validate(read_yaml(text.encode(), "x").value)


@settings(SLOW, max_examples=60)
@given(plans())
def test_a_plan_reads_back_from_its_text(generated: Generated) -> None:
    check_round_trip(generated)


@pytest.mark.battery
@pytest.mark.timeout(1_800)
@settings(SLOW, max_examples=300)
@given(plans(depth=2))
def test_many_plans_read_back_from_their_texts(generated: Generated) -> None:
    check_round_trip(generated)


@pytest.mark.parametrize("kind", [Plan, Step, AgentSpec, Defaults, Limits, InputSpec], ids=lambda kind: kind.__name__)
def test_every_field_is_generated_and_written(kind: type[msgspec.Struct]) -> None:
    """A new field of the language is forgotten neither here nor there."""
    source = inspect.getsource(generated_plans)
    # Skills are written as part of the instructions: what they say stands in files of their own.
    fields = [name for name in kind.__struct_fields__ if (kind, name) != (AgentSpec, "skills")]
    given = {"agents", "input_tokens", "iterations", "model_calls", "output_tokens", "tokens", "tool_calls"}
    missing = [name for name in fields if f"{name}=" not in source and name not in given]
    assert missing == []
    written = {Plan: PLAN_FIELDS, Step: STEP_FIELDS, AgentSpec: AGENT_FIELDS}.get(kind)
    assert written is None or sorted(written) == sorted(fields)


def test_a_whole_plan_in_the_shapes_people_write() -> None:
    made = plan(
        prompt("write", "Write about ${{ item }}.\n", agent="poet", foreach=["a", "b"], needs=[], timeout_ms=90_000),
        Step(
            name="more",
            needs=("write",),
            condition="size(steps.write.output) > 1",
            work=PlanWork(
                plan=plan(command("say", "echo ${{ inputs.what }}"), name="more", inputs={"what": InputSpec()})
            ),
            values={"what": raw("${{ steps.write.output[0] }}")},
        ),
        command("save", "cat notes.txt > page.txt", needs=["more"], budget=Limits(usd_micros=500_000)),
        name="notes",
        budget=Limits(usd_micros=2_000_000, time_ms=5_400_000),
        defaults=Defaults(model="mock:", retry=Retry(attempts=2, backoff_ms=500)),
        outputs={"first": raw("${{ steps.write.output[0] }}")},
    )
    agents = {"poet": AgentSpec(name="poet", instructions="You write.\nShort.", tools=("read_file",))}
    text = plan_to_yaml(made, agents)
    assert plan_from_yaml(text).plan == made
    assert text == (
        "tenuto: 1\n"
        "name: notes\n"
        'budget: { time: 1h30m, usd: "2.00" }\n'
        "agents:\n"
        "  poet:\n"
        "    instructions: |-\n"
        "      You write.\n"
        "      Short.\n"
        "    tools: [read_file]\n"
        'defaults: { model: "mock:", retry: { attempts: 2, backoff: 500ms } }\n'
        "steps:\n"
        "  write:\n"
        "    foreach: [a, b]\n"
        "    agent: poet\n"
        "    prompt: |\n"
        "      Write about ${{ item }}.\n"
        "    timeout: 1m30s\n"
        "  more:\n"
        "    needs: [write]\n"
        "    if: size(steps.write.output) > 1\n"
        "    plan:\n"
        "      name: more\n"
        "      inputs: { what: {} }\n"
        "      steps:\n"
        "        say:\n"
        "          run: echo ${{ inputs.what }}\n"
        '    with: { what: "${{ steps.write.output[0] }}" }\n'
        "  save:\n"
        "    needs: [more]\n"
        "    run: cat notes.txt > page.txt\n"
        '    budget: { usd: "0.50" }\n'
        'outputs: { first: "${{ steps.write.output[0] }}" }\n'
    )


def test_a_text_that_looks_like_a_file_stays_a_text() -> None:
    made = plan(prompt("a", "read notes.md", agent="x"))
    agents = {"x": AgentSpec(name="x", instructions="see rules.txt")}
    assert "prompt: { text: read notes.md }" in plan_to_yaml(made, agents)
    back = plan_from_yaml(plan_to_yaml(made, agents))
    assert back.plan == made
    assert back.agents == agents


CANNOT = {
    "a deadline of nothing": plan(command("a", timeout_ms=0)),
    "steps of one name": plan(command("a"), command("a")),
    "half a character": plan(prompt("a", "\ud800")),
    "NUL": plan(prompt("a", "a\x00")),
    "JSON that is not canonical": plan(
        Step(name="a", work=WaitWork(duration="1s"), values={"v": msgspec.Raw(b"[ 1 ]")})
    ),
    "no duration": plan(command("a", timeout_ms=10**15 * 86_400)),
    "an agent's tool of another program": plan(prompt("a", agent="x")),
}


@pytest.mark.parametrize("why", CANNOT)
def test_what_a_file_cannot_say_is_refused(why: str) -> None:
    agents = {"x": AgentSpec(name="x", tools=("Read",))} if "tool" in why else {}
    with pytest.raises(InvalidPlanError) as refused:
        plan_to_yaml(CANNOT[why], agents)
    assert "\n" not in str(refused.value)


def test_the_part_that_cannot_be_written_is_named() -> None:
    with pytest.raises(InvalidPlanError) as refused:
        plan_to_yaml(replace(CANNOT["JSON that is not canonical"]))
    assert refused.value.where == "the written plan: steps[0].values.v"


@pytest.fixture
def filed() -> Generated:
    """A plan of many files."""
    inner = Plan(
        name="inner",
        agents=("../../agents/e*.md", "team/*.md"),
        steps=(Step(name="edit", work=PromptWork(agent="editor", source="edit.md", text="Edit.\n")),),
    )
    made = Plan(
        name="outer",
        agents=("boss.md", "agents/*.md"),
        steps=(
            Step(name="ask", work=PromptWork(agent="boss", source="prompts/ask.md", text="Ask ${{ inputs.x }}\n")),
            Step(name="do", needs=("ask",), work=PlanWork(plan=inner, source="plans/sub/inner.yaml")),
            Step(name="here", work=PlanWork(plan=plan(prompt("x", "a"), name="here"))),
        ),
        inputs={"x": InputSpec(type="string")},
    )
    spec: dict[str, Any] = {
        "boss": {"role": "b", "limits": Limits(tokens=5)},
        "editor": {"model": "mock:", "version": "1"},
    }
    team = {
        name: AgentSpec(name=name, description="a: b", instructions=f"You {name}.", **more)
        for name, more in spec.items()
    }
    return replace(made, steps=made.steps), team


def test_a_plan_of_many_files_is_written_as_files(filed: Generated, tmp_path: Path) -> None:
    made, agents = filed
    inner = made.steps[1].work
    assert isinstance(inner, PlanWork)
    assert inner.plan is not None
    own = replace(inner, plan=replace(inner.plan, agents=("team/*.md",)))
    made = replace(made, steps=(made.steps[0], replace(made.steps[1], work=own), made.steps[2]))
    write_plan(made, agents, tmp_path / "outer.plan.yaml")
    loaded = load_plan(tmp_path / "outer.plan.yaml")
    assert (loaded.plan, loaded.plan.digest, loaded.agents) == (made, made.digest, agents)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert files == [
        "agents/editor.md",
        "boss.md",
        "outer.plan.yaml",
        "plans/sub/edit.md",
        "plans/sub/inner.yaml",
        "plans/sub/team/editor.md",
        "prompts/ask.md",
    ]
    write_plan(made, agents, tmp_path / "outer.plan.yaml")  # the same again changes nothing
    (tmp_path / "boss.md").write_text("mine")
    with pytest.raises(InvalidPlanError, match="is there, with another text"):
        write_plan(made, agents, tmp_path / "outer.plan.yaml")


def test_files_outside_are_not_written(filed: Generated, tmp_path: Path) -> None:
    made = plan(Step(name="a", work=PromptWork(source="../a.md", text="x")))
    with pytest.raises(InvalidPlanError, match="outside the directory"):
        write_plan(made, {}, tmp_path / "deep" / "a.plan.yaml")
    assert not list(tmp_path.iterdir())


def test_a_plan_of_files_has_no_single_text_unless_it_takes_them_in(filed: Generated) -> None:
    made, agents = filed
    with pytest.raises(InvalidPlanError, match=r"boss\.md is one of them.*self_contained") as refused:
        plan_to_yaml(made, agents)
    assert refused.value.where == "agents"
    whole = self_contained(made)
    assert plan_from_yaml(plan_to_yaml(whole, agents)).plan == whole
    assert self_contained(whole) == whole
    plain = plan(command("a"), Step(name="b", work=RunWork(command="x"), grants=Grants(network=True)))
    assert self_contained(plain) == plain
