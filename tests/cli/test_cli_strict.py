"""`--strict`, and the grade wherever a run is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.models import profiles
from tenuto.app.build import open_store
from tenuto.app.config import read_settings
from tenuto.app.driving import read_start
from tenuto.core.ids import RunId

Tenuto = Callable[..., Any]

PLAN = 'tenuto: 1\nname: talk\nsteps: { a: { prompt: "hi" } }\n'
ASKING = """\
async def late(ctx, inputs):
    return await ctx.model("hi", model="openai:o3")
"""


@pytest.fixture
def plan(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("TENUTO_STRICT", raising=False)
    path = project / "talk.plan.yaml"
    path.write_text(PLAN)
    return path


@pytest.mark.parametrize(
    ("model", "dropped"),
    [
        ("openai:o3", "temperature and top_p"),
        ("openai-responses:m", "seed"),
        ("openai-responses:o3", "top_p and seed"),
    ],
)
def test_a_model_that_would_drop_one_is_refused_before_anything_is_recorded(
    tenuto: Tenuto, plan: Path, model: str, dropped: str
) -> None:
    said = tenuto("run", plan, "--strict", "--model", model, "--json")
    assert said.code == 2
    error = said.object["error"]
    assert error["where"] == f"model {model}"
    assert f"{dropped}, and a strict run" in error["what"]
    assert "--strict" in error["fix"]
    assert tenuto("show").code == 2


def test_the_configuration_can_ask_for_it_and_check_says_it(
    tenuto: Tenuto, plan: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "openai:o3 (best effort, drops temperature, top_p)" in tenuto("check", plan, "--model", "openai:o3").out
    (project / "tenuto.toml").write_text("strict = true\n")
    for verb in ("run", "check"):
        said = tenuto(verb, plan, "--model", "openai:o3")
        assert (said.code, "would drop temperature and top_p" in said.err) == (2, True)
    assert tenuto("config", "get", "strict").out == "true\n"
    monkeypatch.setenv("TENUTO_STRICT", "false")
    assert tenuto("check", plan, "--model", "openai:o3").code == 0
    monkeypatch.setenv("TENUTO_STRICT", "maybe")
    assert "true or false" in tenuto("check", plan).err


def test_a_strict_run_stays_strict_when_it_is_resumed(
    tenuto: Tenuto, plan: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan.write_text(PLAN + 'budget: { tokens: 1 }\ndefaults: { model: "openai:m" }\n')
    assert tenuto("run", plan, "--run", "one", "--strict").code == 3

    async def strict() -> bool:
        store = open_store(read_settings(project))
        try:
            return (await read_start(store, RunId("one")))[1].lock.strict
        finally:
            await store.close()

    assert asyncio.run(strict())
    assert "grade best effort, strict; seed" in tenuto("show", "one").out
    known = profiles._table()
    changed = [{**one, "accepts": ["max_tokens"]} for one in known["openai"]]
    monkeypatch.setitem(known, "openai", changed)
    said = tenuto("resume", "one", "--add-budget", "tokens=100000")
    assert (said.code, "openai:m would drop" in said.err) == (2, True)


def test_a_model_that_only_a_program_names_fails_its_call(tenuto: Tenuto, plan: Path, project: Path) -> None:
    (project / "asking_late.py").write_text(ASKING)
    plan.write_text('tenuto: 1\nsteps: { a: { uses: "python:asking_late:late" } }\n')
    said = tenuto("run", plan, "--run", "one", "--strict", "--json").object
    assert said["status"] == "failed"
    assert "openai:o3 would drop temperature and top_p" in said["error"]
    assert tenuto("replay", "one").code == 0


def test_the_grade_is_shown_everywhere(tenuto: Tenuto, plan: Path) -> None:
    said = tenuto("run", plan, "--run", "one")
    assert "grade      exact: mock:" in said.err
    assert "grade exact" in tenuto("show", "one").out
    assert tenuto("show", "one", "--json").object["grade"] == "exact"
    (line,) = tenuto("ls", "--json").object["runs"]
    assert line["grade"] == "exact"
    assert tenuto("replay", "one", "--json").object["grade"] == "exact"
    found = tenuto("check", plan, "--model", "openai-responses:m", "--json").object
    assert found["grade"] == "opaque"
    assert [(m["profile"], m["drops"]) for m in found["models"]] == [("openai-responses", ["seed"])]
