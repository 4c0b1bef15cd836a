"""Models by name from the command line: scripts beside the plan, recorded runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.app.providers import KEYS

Tenuto = Callable[..., Any]

PLAN = """\
tenuto: 1
name: reads
agents: { reader: { instructions: "Read the files.", tools: [read_file, list_files], model: "mock:?tools=2" } }
steps:
  read: { agent: reader, prompt: "What is here?" }
  again: { needs: [read], agent: reader, prompt: "And now?" }
outputs: { said: ["${{ steps.read.output }}", "${{ steps.again.output }}"] }
"""


@pytest.fixture
def plan(project: Path) -> Path:
    (project / "plans").mkdir()
    path = project / "plans" / "reads.plan.yaml"
    path.write_text(PLAN)
    return path


def test_a_recorded_run_answers_as_a_model_conversations_with_tools_too(tenuto: Tenuto, plan: Path) -> None:
    first = tenuto("run", plan, "--run", "one", "--json").object
    assert first["budget"]["spent"]["tool_calls"] > 0
    second = tenuto("run", plan, "--run", "two", "--model", "replay:one", "--json").object
    assert (second["status"], second["grade"]) == ("ok", "exact")
    assert second["outputs"] == first["outputs"]
    assert tenuto("replay", "two").code == 0


def test_a_question_that_was_not_recorded_fails_closed(tenuto: Tenuto, plan: Path) -> None:
    tenuto("run", plan, "--run", "one")
    plan.write_text(PLAN.replace("And now?", "And then?"))
    said = tenuto("run", plan, "--run", "two", "--model", "replay:one", "--json")
    assert said.code == 1
    assert [step["status"] for step in said.object["steps"]] == ["completed", "failed"]
    assert "holds no answer to this request" in said.object["error"]
    assert tenuto("run", plan, "--model", "replay:none").code == 2


def test_a_script_is_found_here_or_beside_the_plan(tenuto: Tenuto, project: Path) -> None:
    directory = project / "plans"
    directory.mkdir()
    (directory / "answers.yaml").write_text("- text: from beside the plan\n")
    plan = directory / "talk.plan.yaml"
    plan.write_text('tenuto: 1\nsteps: { a: { prompt: "hi" } }\noutputs: { said: "${{ steps.a.output }}" }\n')
    command = ("run", plan, "--model", "scripted:answers.yaml", "--json")
    assert tenuto(*command).object["outputs"] == {"said": "from beside the plan"}
    (project / "answers.yaml").write_text("- text: from here\n")
    assert tenuto(*command).object["outputs"] == {"said": "from here"}
    assert tenuto("run", plan, "--model", "scripted:none.yaml").code == 2


def test_a_limit_in_money_needs_a_price_and_the_configuration_can_give_it(tenuto: Tenuto, project: Path) -> None:
    plan = project / "dear.plan.yaml"
    plan.write_text('tenuto: 1\nbudget: { usd: "1.00" }\nsteps: { a: { prompt: "hi", model: "openai:own" } }\n')
    refused = tenuto("check", plan)
    assert refused.code == 2
    assert '[prices."openai:own"]' in refused.err
    (project / "tenuto.toml").write_text(
        'prices."openai:own" = { input = "1.50", output = "6" }\nprices."mock:" = { input = "1", output = "100" }\n'
    )
    (model,) = [m for m in tenuto("check", plan, "--json").object["models"] if m["name"] == "openai:own"]
    assert model["price"] == {"input_micros": 1_500_000, "output_micros": 6_000_000, "source": "the configuration"}
    done = tenuto("run", plan, "--model", "mock:", "--json").object
    assert done["budget"]["spent"]["usd_micros"] > 100 * done["budget"]["spent"]["output_tokens"]


@pytest.mark.parametrize("provider", ["anthropic", "google", "groq", "mistral", "openai", "openai-responses"])
def test_a_key_that_is_not_set_is_named_before_anything_is_recorded(
    tenuto: Tenuto, project: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    variable = KEYS[provider]
    for name in (variable, "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    plan = project / "talk.plan.yaml"
    plan.write_text('tenuto: 1\nsteps: { a: { prompt: "hi" } }\n')
    said = tenuto("run", plan, "--model", f"{provider}:m", "--json")
    assert said.code == 2
    assert said.object["error"]["what"] == f"{variable} is not set"
    assert tenuto("show").code == 2
