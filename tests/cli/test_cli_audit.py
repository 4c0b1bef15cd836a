"""`tenuto audit`: the figures, the budget, and where they are shown afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Tenuto = Callable[..., Any]


def test_an_audit_is_stored_and_shown_beside_the_grade(tenuto: Tenuto, project: Path) -> None:
    said = tenuto("audit", "mock:", "-n", "3", "--concurrency", "2")
    assert said.code == 0
    assert said.err.startswith("at most ")
    assert "mock:: 3 of 3 identical at 1, 3 of 3 at 2" in said.out
    found = tenuto("audit", "mock:", "-n", "3", "--concurrency", "1", "--json").object
    assert found["artifact_id"] == "~audits:mock:@2"
    assert [series["at_once"] for series in found["series"]] == [1]
    plan = project / "talk.plan.yaml"
    plan.write_text('tenuto: 1\nsteps: { a: { prompt: "hi" } }\n')
    assert "3 of 3 identical at 1" in tenuto("check", plan).out
    assert len(tenuto("check", plan, "--json").object["audited"]) == 1
    tenuto("run", plan, "--run", "one")
    assert "audited" in tenuto("show", "one").out
    assert [run["run"] for run in tenuto("ls", "--json").object["runs"]] == ["one"]


def test_a_budget_that_ends_it_is_exit_3_and_wrong_ones_exit_2(tenuto: Tenuto, project: Path) -> None:
    said = tenuto("audit", "mock:", "-n", "9", "--budget", "tokens=3000")
    assert (said.code, "stopped early: budget" in said.out) == (3, True)
    for wrong in ("tokens", "time=1m", "tool_calls=3", "spoons=4"):
        said = tenuto("audit", "mock:", "--budget", wrong)
        assert (said.code, "--budget" in said.err) == (2, True)
    assert tenuto("audit", "mock:", "--prompt", "nothing.txt").code == 2
    (project / "ask.txt").write_text("What is red?")
    assert tenuto("audit", "mock:", "-n", "1", "--prompt", "ask.txt").code == 0


def test_a_model_that_answers_nothing_is_a_failure(tenuto: Tenuto, project: Path) -> None:
    (project / "none.yaml").write_text("replies: [{ text: nope, when: { contains: never asked } }]\n")
    said = tenuto("audit", "scripted:none.yaml", "-n", "2", "--concurrency", "1")
    assert (said.code, "stopped early" in said.out) == (1, True)
    assert "nothing stored" in said.out
