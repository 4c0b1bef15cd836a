"""Skills: where they are looked for, what is wrong with them, and what an agent is given."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tenuto.adapters.plans.plan_file import LoadedPlan, load_plan
from tenuto.core.agents import AgentSpec
from tenuto.errors import InvalidPlanError

PLAN = "tenuto: 1\nagents: [.claude/agents/*.md]\nsteps: { a: { agent: scout, prompt: Go. } }\n"
AGENT = "---\nname: scout\nskills: [tidy, brief]\n---\nYou look.\n"


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    put(
        tmp_path,
        {
            "p.plan.yaml": PLAN,
            ".claude/agents/scout.md": AGENT,
            ".claude/skills/tidy/SKILL.md": "---\nname: tidy\ndescription: When: always.\n---\n\nTidy up.\n",
            "skills/tidy/SKILL.md": "Another one.\n",
            "skills/brief/SKILL.md": "Be brief.\r\nVery.\n",
        },
    )
    return tmp_path


def scout(project: Path) -> tuple[AgentSpec, LoadedPlan]:
    loaded = load_plan(project / "p.plan.yaml")
    return loaded.agents["scout"], loaded


def test_an_agent_is_given_the_texts_of_its_skills_in_its_order(project: Path) -> None:
    agent, loaded = scout(project)
    assert agent.instructions == "You look."
    assert agent.system == "You look.\n\n# Skill: tidy\n\nTidy up.\n\n# Skill: brief\n\nBe brief.\nVery."
    assert agent.skills[0].description == "When: always."
    assert loaded.places["agents.scout.skills/tidy"] == ".claude/skills/tidy/SKILL.md:1:1"
    assert loaded.places["agents.scout.skills/brief"] == "skills/brief/SKILL.md:1:1"


def test_the_first_folder_that_has_a_skill_gives_it(project: Path) -> None:
    (project / ".claude/skills/tidy/SKILL.md").unlink()
    assert scout(project)[0].skills[0].text == "Another one."


def test_a_skill_that_says_something_else_makes_another_agent(project: Path) -> None:
    before = scout(project)[0].digest
    put(project, {"skills/brief/SKILL.md": "Be long."})
    assert scout(project)[0].digest != before
    put(project, {"skills/brief/SKILL.md": "Be brief.\nVery.\n"})
    assert scout(project)[0].digest == before


def test_an_agent_without_skills_is_what_it_was() -> None:
    assert AgentSpec(name="a", instructions="Do.").system == "Do."
    assert b"skills" not in msgspec.json.encode(AgentSpec(name="a"))


@pytest.mark.parametrize(
    ("files", "where", "what"),
    [
        ({".claude/agents/scout.md": AGENT.replace("brief", "nosuch")}, "scout.md:3:16", "there is no skill nosuch"),
        ({".claude/agents/scout.md": AGENT.replace("[tidy, brief]", "tidy, no")}, "scout.md:3:9", "no skill no"),
        ({".claude/agents/scout.md": AGENT.replace("brief", "../brief")}, "scout.md:3:16", "../brief"),
        ({".claude/agents/scout.md": AGENT.replace("[tidy, brief]", "7")}, "scout.md:3:9", "skills are a list"),
        ({"skills/brief/SKILL.md": "---\nname: long\n---\nHi"}, "brief/SKILL.md:2:1", "calls itself long"),
        ({"skills/brief/SKILL.md": "---\ndescription: [a]\n---\nHi"}, "brief/SKILL.md:2:1", "description is a text"),
        ({"skills/brief/SKILL.md": "---\nname: brief\n---\n\n"}, "brief/SKILL.md:", "the skill has no text"),
        ({"skills/brief/SKILL.md": "---\nname: brief\n"}, "brief/SKILL.md:1:1", "front matter is not closed"),
    ],
)
def test_what_is_wrong_with_a_skill_is_said_with_its_place(
    project: Path, files: dict[str, str], where: str, what: str
) -> None:
    put(project, files)
    with pytest.raises(InvalidPlanError) as error:
        load_plan(project / "p.plan.yaml")
    said = str(error.value)
    assert where in said
    assert what in said
    assert ";" in said
