"""Sub-plans that are written in their step."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest

from tenuto.adapters.plans.plan_writing import plan_from_yaml
from tenuto.adapters.plans.produced import ProducedPlans
from tenuto.adapters.plans.schema import schema
from tenuto.adapters.plans.yaml_document import read_yaml
from tenuto.core.plan import Plan, PlanWork, PromptWork, every_step
from tenuto.errors import InvalidPlanError

NESTED = """\
tenuto: 1
name: outer
agents: { poet: { instructions: You write. } }
steps:
  do:
    with: { what: cats }
    plan:
      inputs: { what: { type: string } }
      steps:
        write: { agent: poet, prompt: "About ${{ inputs.what }}" }
        deeper: { needs: [write], plan: { name: deep, steps: { read: { prompt: ask.md } } } }
      outputs: { text: "${{ steps.write.output }}" }
outputs: { text: "${{ steps.do.output.text }}" }
"""


def test_a_nested_plan_is_a_plan_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "ask.md").write_text("Ask.\n")
    read = plan_from_yaml(NESTED, tmp_path).plan
    work = read.steps[0].work
    assert isinstance(work, PlanWork)
    assert isinstance(work.plan, Plan)
    assert (work.source, work.plan.name, list(work.plan.inputs)) == ("", "do", ["what"])
    assert [path for path, _ in every_step(read)] == ["do", "do/write", "do/deeper", "do/deeper/read"]
    assert dict(every_step(read))["do/deeper/read"].work == PromptWork(source="ask.md", text="Ask.\n")


def test_nested_plans_and_files_of_plans_take_each_other_in(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ask.md").write_text("Ask.\n")
    (tmp_path / "sub" / "outer.plan.yaml").write_text(NESTED)
    text = "steps: { a: { plan: { steps: { b: { plan: sub/outer.plan.yaml } } } } }"
    loaded = plan_from_yaml(text, tmp_path)
    assert "a/b/do/deeper/read" in dict(every_step(loaded.plan))
    assert set(loaded.agents) == {"poet"}


def test_its_schema_for_editors_goes_into_itself() -> None:
    validator = jsonschema_rs.validator_for(schema("plan"))
    assert validator.is_valid(read_yaml(NESTED.encode(), "x").value)
    assert not validator.is_valid(read_yaml(NESTED.replace("prompt: ask.md", "promt: x").encode(), "x").value)


WRONG = {
    ("agent: poet", "agent: poe"): "plan.yaml:10:18: steps.do.plan.steps.write.agent: there is no agent poe",
    (
        "      outputs:",
        "      agents: { x: {} }\n      outputs:",
    ): "plan.yaml:12:7: steps.do.plan.agents: a plan within",
    (
        "prompt: ask.md",
        "promt: ask",
    ): "plan.yaml:11:72: steps.do.plan.steps.deeper.plan.steps.read.promt: a step has no",
    ("with: { what: cats }", "with: {}"): "plan.yaml:7:5: steps.do.plan: the sub-plan needs the input what",
    ("      steps:\n", "      step:\n"): "plan.yaml:9:7: steps.do.plan.step: a plan has no key step",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change[1].strip()[:20])
def test_what_is_wrong_inside_has_its_place(change: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "ask.md").write_text("Ask.\n")
    with pytest.raises(InvalidPlanError) as refused:
        plan_from_yaml(NESTED.replace(*change), tmp_path)
    assert any(str(error).startswith(f"{tmp_path}/{WRONG[change]}") for error in refused.value.errors), refused.value


def test_nested_deeper_than_plans_may_be_is_refused() -> None:
    text = "run: x"
    for _ in range(10):
        text = f"plan: {{ steps: {{ a: {{ {text} }} }} }}"
    with pytest.raises(InvalidPlanError, match="nested deeper than 8"):
        plan_from_yaml(f"steps: {{ a: {{ {text} }} }}")


def test_a_produced_plan_may_nest_but_names_no_files() -> None:
    inside = {"plan": {"steps": {"b": {"prompt": "hello"}}}}
    made = ProducedPlans().read({"steps": {"a": inside}}, {}, ())
    assert [path for path, _ in every_step(made)] == ["a", "a/b"]
    inside["plan"]["steps"]["b"]["prompt"] = "secret.md"
    with pytest.raises(InvalidPlanError, match="names no files"):
        ProducedPlans().read({"steps": {"a": inside}}, {}, ())
