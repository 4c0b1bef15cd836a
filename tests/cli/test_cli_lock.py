"""The lock of a plan: written, compared, and named by `check`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]

PLAN = """\
tenuto: 1
name: fix
agents: [agents/*.md]
tools: ['python:helpers']
defaults: { model: "mock:one" }
steps:
  look: { agent: scout, prompt: prompts/look.md }
  sum: { needs: [look], uses: "python:helpers:program" }
  talk: { prompt: "Say hello.", model: "mock:two?input_micros=5", output: { type: integer } }
"""
HELPERS = """\
from tenuto import tool


@tool(effect="read")
def double(n: int) -> int:
    return 2 * n


async def program(ctx, inputs):
    return 1
"""


@pytest.fixture
def plan(project: Path) -> Path:
    for folder in ("agents", "prompts", "skills", "skills/tidy"):
        (project / folder).mkdir()
    (project / "agents" / "scout.md").write_text(
        "---\nname: scout\ndescription: Looks.\nskills: [tidy]\n---\nYou look.\n"
    )
    (project / "skills" / "tidy" / "SKILL.md").write_text("---\nname: tidy\n---\nSay less.\n")
    (project / "prompts" / "look.md").write_text("Look around.\n")
    (project / "helpers.py").write_text(HELPERS)
    (project / "fix.plan.yaml").write_text(PLAN)
    return project / "fix.plan.yaml"


def parts(said: Any) -> list[tuple[str, str]]:
    return [(move["part"], move["what"]) for move in said.object["moved"]]


def test_a_lock_is_stable_and_says_what_a_plan_resolves_to(tenuto: Tenuto, plan: Path) -> None:
    assert tenuto("lock", plan.name).out == "wrote  fix.plan.lock\n"
    lock = plan.with_name("fix.plan.lock")
    first = lock.read_bytes()
    content = json.loads(first)
    assert set(content["models"]) == {"mock:one", "mock:two?input_micros=5"}
    assert content["models"]["mock:two?input_micros=5"]["price"]["input_micros"] == 5
    assert content["tools"]["double"]["effect"] == "read"
    assert list(content["code"]) == ["sum"]
    assert tenuto("lock", plan.name).code == 0
    assert lock.read_bytes() == first
    same = tenuto("lock", plan.name, "--check")
    assert (same.code, same.out) == (0, "same  fix.plan.lock\n")
    assert "not as in" not in tenuto("check", plan.name).out


@pytest.mark.parametrize(
    ("file", "old", "new", "part", "where"),
    [
        ("prompts/look.md", "around", "about", "prompts.look", "prompts/look.md:1:1"),
        ("agents/scout.md", "You look", "You see", "agents.scout", "agents/scout.md:1:1"),
        ("skills/tidy/SKILL.md", "Say less", "Say more", "skills.scout/tidy", "skills/tidy/SKILL.md:1:1"),
        ("fix.plan.yaml", "type: integer", "type: string", "schemas.talk", "fix.plan.yaml:9:"),
        ("helpers.py", "return 1", "return 2", "code.sum", "fix.plan.yaml:8:"),
        ("helpers.py", "2 * n", "n + n", "tools.double", "fix.plan.yaml:4:"),
        ("fix.plan.yaml", "input_micros=5", "input_micros=6", "models.mock:two?input_micros=6", "fix.plan.yaml:9:"),
        ("fix.plan.yaml", "needs: [look]", "needs: []", "steps.sum", "fix.plan.yaml:8:"),
    ],
)
def test_what_moved_is_named_with_its_place(
    tenuto: Tenuto, start: Start, plan: Path, file: str, old: str, new: str, part: str, where: str
) -> None:
    tenuto("lock", plan.name)
    path = plan.parent / file
    path.write_text(path.read_text().replace(old, new))
    # Modules of this process stay imported: a command of its own sees the file of now.
    child = start("lock", plan.name, "--check", "--json")
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 1
    moved = {move["part"]: move for move in json.loads(out)["moved"]}
    assert part in moved
    assert moved[part]["where"].startswith(where)
    shown, _ = start("check", plan.name).communicate(timeout=60)
    assert f"{moved[part]['where']}: {part} " in shown
    assert "tenuto lock fix.plan.yaml" in shown


def test_a_budget_that_changed_is_told_as_the_plan(tenuto: Tenuto, plan: Path) -> None:
    tenuto("lock", plan.name)
    plan.write_text(PLAN + "budget: { tokens: 5 }\n")
    assert parts(tenuto("lock", plan.name, "--check", "--json")) == [("plan", "changed")]


def test_a_lock_that_is_missing_or_none_is_refused(tenuto: Tenuto, plan: Path) -> None:
    said = tenuto("lock", plan.name, "--check")
    assert (said.code, "tenuto lock fix.plan.yaml" in said.err) == (2, True)
    lock = plan.with_name("fix.plan.lock")
    for text, words in (("[1]", "something else than a lock"), ('{"version": 99}', "version 99")):
        lock.write_text(text)
        said = tenuto("check", plan.name)
        assert (said.code, words in said.err) == (2, True)
