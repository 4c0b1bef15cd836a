"""A difference between two plans is laid to the file that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.adapters.plans.part_files import differing_parts, files_of_plan
from tenuto.adapters.plans.plan_file import LoadedPlan, load_plan

FILES = {
    "x.plan.yaml": """\
agents: [agents/*.md]
defaults: { model: "mock:" }
steps:
  a: { agent: scout, prompt: prompts/a.md, output: schemas/a.json }
  do: { needs: [a], plan: parts/do.plan.yaml }
  last: { needs: [do], run: ls }
""",
    "agents/scout.md": "---\nname: scout\n---\nYou look.\n",
    "prompts/a.md": "Look.\n",
    "prompts/b.md": "Look!\n",
    "schemas/a.json": '{"type": "object"}',
    "parts/do.plan.yaml": "steps:\n  inner: { prompt: texts/inner.md }\n",
    "parts/texts/inner.md": "Inner.\n",
}
ALL = set(FILES) - {"prompts/b.md"}


@pytest.fixture
def before(tmp_path: Path) -> LoadedPlan:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    return load_plan(tmp_path / "x.plan.yaml")


def parts(loaded: LoadedPlan) -> tuple[object, object, object]:
    return loaded.plan, loaded.agents, loaded.places


def test_all_files_are_known(before: LoadedPlan) -> None:
    assert files_of_plan(before.plan, before.agents, before.places) == ALL


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("x.plan.yaml", "mock:", "mock:two", [("defaults.model", "x.plan.yaml")]),
        ("x.plan.yaml", "run: ls", "run: ls -l", [("steps.last.run", "x.plan.yaml")]),
        ("x.plan.yaml", "run: ls", 'prompt: "ls"', [("steps.last", "x.plan.yaml")]),
        ("x.plan.yaml", "last:", "end_of_it:", [("steps", "x.plan.yaml")]),
        ("x.plan.yaml", "prompts/a.md", "prompts/b.md", [("steps.a.prompt", "x.plan.yaml")]),
        ("x.plan.yaml", "schemas/a.json", "{type: array}", [("steps.a.output", "x.plan.yaml")]),
        ("prompts/a.md", "Look", "See", [("steps.a.prompt", "prompts/a.md")]),
        ("schemas/a.json", "object", "array", [("steps.a.output", "schemas/a.json")]),
        ("agents/scout.md", "look", "see", [("agents.scout.instructions", "agents/scout.md")]),
        ("parts/do.plan.yaml", "steps", "name: D\nsteps", [("steps.do.plan.name", "parts/do.plan.yaml")]),
        ("parts/texts/inner.md", "Inner", "Else", [("steps.do.plan.steps.inner.prompt", "parts/texts/inner.md")]),
        ("x.plan.yaml", "steps:", "# a comment\nsteps:", []),
    ],
)  # fmt: skip
def test_a_change_of_one_file_is_of_that_file(
    before: LoadedPlan, file: str, old: str, new: str, found: list[tuple[str, str]]
) -> None:
    path = before.directory / file
    path.write_text(path.read_text().replace(old, new))
    after = load_plan(before.directory / "x.plan.yaml")
    assert differing_parts(parts(before), parts(after)) == found  # type: ignore[arg-type]


def test_agents_come_and_go_with_their_files(before: LoadedPlan) -> None:
    (before.directory / "agents" / "new.md").write_text("---\nname: new\n---\nNew.\n")
    after = load_plan(before.directory / "x.plan.yaml")
    assert differing_parts(parts(before), parts(after)) == [("agents.new", "agents/new.md")]  # type: ignore[arg-type]
    assert differing_parts(parts(after), parts(before)) == [("agents.new", "agents/new.md")]  # type: ignore[arg-type]


def test_an_agent_that_the_plan_begins_to_name_is_the_plans_change(before: LoadedPlan) -> None:
    (before.directory / "more.md").write_text("---\nname: more\n---\nMore.\n")
    plan = before.directory / "x.plan.yaml"
    plan.write_text(plan.read_text().replace("[agents/*.md]", "[agents/*.md, more.md]"))
    found = differing_parts(parts(before), parts(load_plan(plan)))  # type: ignore[arg-type]
    assert found == [("agents", "x.plan.yaml"), ("agents.more", "x.plan.yaml")]
