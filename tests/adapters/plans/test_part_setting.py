"""Setting one part of a plan: it is read as in a plan file, and all others stay the values they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tenuto.adapters.plans.part_setting import PlanAndAgents, set_part, split_setting
from tenuto.adapters.plans.plan_file import load_plan
from tenuto.adapters.plans.plan_writing import plan_from_yaml
from tenuto.core.canonical import parse
from tenuto.core.plan import Plan, PlanWork, PromptWork, RunWork
from tenuto.errors import UsageError

PLAN = """\
tenuto: 1
name: x
inputs: { n: { type: integer, default: 1 } }
agents: { writer: { instructions: Be good., model: "mock:" } }
steps:
  a:
    agent: writer
    prompt: "Hi ${{ inputs.n }} ${{ with.topic }}"
    with: { topic: cats }
    budget: { tokens: 1, usd: "1.00" }
    output: { type: array }
  do: { plan: { steps: { inner: { run: echo hi }, other: { prompt: Other. } } } }
  b: { needs: [a], run: ls, if: "true" }
outputs: { said: "${{ steps.a.output }}" }
"""


@pytest.fixture(scope="module")
def whole() -> PlanAndAgents:
    loaded = plan_from_yaml(PLAN)
    return PlanAndAgents(loaded.plan, loaded.agents, Path())


def step(plan: Plan, path: str) -> Any:
    name, _, rest = path.partition("/")
    found = next(step for step in plan.steps if step.name == name)
    if not rest:
        return found
    assert isinstance(found.work, PlanWork)
    assert found.work.plan is not None
    return step(found.work.plan, rest)


@pytest.mark.parametrize(
    ("path", "text", "read"),
    [
        ("steps.a.prompt", "Bye: all # of you", lambda p: step(p, "a").work.text == "Bye: all # of you"),
        ("steps.a.model", "mock:two", lambda p: step(p, "a").model == "mock:two"),
        ("steps.a.max_tokens", "12", lambda p: step(p, "a").max_tokens == 12),
        ("steps.a.budget.usd", "2.00", lambda p: step(p, "a").budget.usd_micros == 2_000_000),
        ("steps.a.budget.tokens", "7", lambda p: step(p, "a").budget.tokens == 7),
        ("steps.a.timeout", "90s", lambda p: step(p, "a").timeout_ms == 90_000),
        ("steps.a.with.topic", "3", lambda p: parse(step(p, "a").values["topic"]) == 3),
        ("steps.a.with.topic", "dogs: and birds", lambda p: parse(step(p, "a").values["topic"]) == "dogs: and birds"),
        ("steps.a.with.topic", '"3"', lambda p: parse(step(p, "a").values["topic"]) == "3"),
        ("steps.a.with.topic", '["x", 1]', lambda p: parse(step(p, "a").values["topic"]) == ["x", 1]),
        ("steps.a.output", '{"type": "object"}', lambda p: parse(step(p, "a").output) == {"type": "object"}),
        ("steps.b.run", "echo: 2", lambda p: step(p, "b").work == RunWork(command="echo: 2")),
        ("steps.b.if", "'x' in ['y']", lambda p: step(p, "b").condition == "'x' in ['y']"),
        ("steps.b.needs", "[]", lambda p: step(p, "b").needs == ()),
        ("steps.b.grants.network", "true", lambda p: step(p, "b").grants.network),
        ("steps.do.on_error", "continue", lambda p: step(p, "do").on_error == "continue"),
        ("steps.do/inner.run", "ls", lambda p: step(p, "do/inner").work == RunWork(command="ls")),
        ("defaults.model", "mock:three", lambda p: p.defaults.model == "mock:three"),
        ("defaults.retry.attempts", "3", lambda p: p.defaults.retry.attempts == 3),
        ("outputs.said", "nothing", lambda p: parse(p.outputs["said"]) == "nothing"),
        ("merge", "{ prefer: a }", lambda p: p.merge.prefer == "a"),
    ],
)
def test_a_part_is_set(whole: PlanAndAgents, path: str, text: str, read: Any) -> None:
    found = set_part(whole, path, text)
    assert not read(whole.plan)
    assert read(found.plan)
    named = path.split(".")[1].split("/")[0] if path.startswith("steps.") else ""
    for before, after in zip(whole.plan.steps, found.plan.steps, strict=True):
        assert before is after or before.name == named
    assert found.agents == whole.agents


def test_an_agent_is_set(whole: PlanAndAgents) -> None:
    found = set_part(set_part(whole, "agents.writer.model", "mock:two"), "agents.writer.instructions", "Be brief.")
    writer = whole.agents["writer"]
    assert found.agents == {"writer": replace(writer, model="mock:two", instructions="Be brief.")}
    assert found.plan is whole.plan


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("steps.a.promt", "x", "a step has no key promt; did you mean prompt?"),
        ("steps.c.prompt", "x", "there is no step c; use one of: a, b, do"),
        ("steps.do/iner.run", "x", "there is no step iner; did you mean inner?"),
        ("steps.a/x.run", "x", "the step a has no sub-plan; name a step of the plan"),
        ("steps.a", "x", "this is a step, and none of its keys; its keys are prompt, run,"),
        ("steps.a.with.topik", "x", "with has no value topik; did you mean topic?"),
        ("steps.a.prompt.text", "x", "prompt is one value: it has no text; set prompt itself"),
        ("steps.a.max_tokens", "many", "this must be a whole number, but is the text 'many'; write a number"),
        ("steps.a.timeout", "5", "this must be a duration, but is the text '5'; write a number with its unit"),
        ("steps.b.prompt", "x", "steps.b.run: a step has exactly one of prompt, run,"),
        ("steps.b.needs", "[a", "this cannot be read as YAML"),
        ("steps.do.plan", "other.plan.yaml", "another file is no value; name it in the plan, and --edit that"),
        ("agents.riter.model", "mock:", "there is no agent riter; did you mean writer?"),
        ("outputs.sad", "x", "the plan has no output sad; did you mean said?"),
        ("budget.tokens", "5", "a fork has what its root has left; give it more: --add-budget NAME=AMOUNT"),
        ("stepps.a.prompt", "x", "nothing is set by stepps.a.prompt; did you mean steps?"),
    ],
)
def test_what_cannot_be_set_is_told_with_the_nearest_name(
    whole: PlanAndAgents, path: str, text: str, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        set_part(whole, path, text)
    line = str(refused.value)
    assert line.startswith(f"--set {path}: {said}")
    assert "\n" not in line


def test_other_prompts_keep_the_files_they_are_from(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("From a file.\n")
    (tmp_path / "x.plan.yaml").write_text("steps:\n  a: { prompt: a.md }\n  b: { prompt: B. }\n")
    loaded = load_plan(tmp_path / "x.plan.yaml")
    whole = PlanAndAgents(loaded.plan, loaded.agents, tmp_path)
    longer = set_part(whole, "steps.a.max_tokens", "9").plan.steps[0]
    assert longer.work == PromptWork(source="a.md", text="From a file.\n")
    assert set_part(whole, "steps.a.prompt", "Else.").plan.steps[0].work == PromptWork(text="Else.")
    assert set_part(whole, "steps.b.prompt", "a.md").plan.steps[1].work == longer.work


@settings(deadline=None, max_examples=60)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_every_text_can_be_a_prompt(whole: PlanAndAgents, text: str) -> None:
    if text.endswith((".md", ".txt")):
        return  # a file's name
    assert step(set_part(whole, "steps.a.prompt", text).plan, "a").work.text == text


@pytest.mark.parametrize("given", ["", "x", "=x"])
def test_a_setting_is_a_pair(given: str) -> None:
    with pytest.raises(UsageError, match="a part is set as PATH=VALUE"):
        split_setting(given)
    assert split_setting("a.b=c=d") == ("a.b", "c=d")
