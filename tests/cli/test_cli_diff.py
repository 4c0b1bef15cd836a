"""`tenuto diff`: two runs side by side."""

from __future__ import annotations

from pathlib import Path

from .conftest import Tenuto

PLAN = """\
tenuto: 1
name: many
inputs: { word: { type: string, default: one } }
steps:
  same: { run: "echo same" }
  ask: { prompt: "Say ${{ inputs.word }}.\\nIn one line.", model: "mock:" }
  write: { needs: [ask], run: "echo ${{ inputs.word }} > word.txt; echo written" }
"""


def test_equal_runs_are_the_same(tenuto: Tenuto, project: Path) -> None:
    (project / "many.plan.yaml").write_text(PLAN)
    for run in ("a", "b"):
        assert tenuto("run", "many.plan.yaml", "--run", run, "--seed", "7").code == 0
    said = tenuto("diff", "a", "b")
    assert (said.code, said.out) == (0, "the same: a and b, 3 steps\n")
    assert tenuto("diff", "a", "b", "--json").object["same"] is True


def test_the_first_difference_is_shown_with_what_was_asked(tenuto: Tenuto, project: Path) -> None:
    (project / "many.plan.yaml").write_text(PLAN)
    tenuto("run", "many.plan.yaml", "--run", "a", "--seed", "7")
    tenuto("run", "many.plan.yaml", "--run", "b", "--seed", "7", "--input", "word=two")
    said = tenuto("diff", "a", "b")
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0] == "a and b differ in 2 of 3 steps"
    assert "inputs" in lines[1]
    assert "first: request of ask/1/0" in lines
    assert any(line.startswith("  -") and "Say one." in line for line in lines)
    assert any(line.startswith("  +") and "Say two." in line for line in lines)
    assert "  changed   word.txt" in lines
    found = tenuto("diff", "a", "b", "--json").object
    assert [step["path"] for step in found["steps"] if step["differs"]] == ["ask", "write"]
    assert found["first"]["call"] == "ask/1/0"
    assert found["whole"]["inputs"] == [{"word": "one"}, {"word": "two"}]
    assert found["files"] == [["word.txt", "changed"]]


def test_steps_that_only_one_has_stand_where_they_belong(tenuto: Tenuto, project: Path) -> None:
    (project / "many.plan.yaml").write_text(PLAN)
    tenuto("run", "many.plan.yaml", "--run", "a", "--seed", "7")
    (project / "many.plan.yaml").write_text(PLAN.replace("  write:", "  extra: { run: 'echo extra' }\n  write:"))
    tenuto("run", "many.plan.yaml", "--run", "b", "--seed", "7")
    found = tenuto("diff", "a", "b", "--json").object
    assert [step["path"] for step in found["steps"]] == ["same", "ask", "extra", "write"]
    assert [step["path"] for step in found["steps"] if "only in b" in step["differs"]] == ["extra"]
    assert {"plan", "start_tree"} <= set(found["whole"]), "the plan's file is one of the repository's"
    assert found["first"]["step"] == "same"
    assert found["first"]["a"]["tree"] != found["first"]["b"]["tree"], (
        "what a command may read is part of its request"
    )


def test_an_unknown_run_is_named(tenuto: Tenuto, project: Path) -> None:
    tenuto("run", "greet.plan.yaml", "--run", "a")
    said = tenuto("diff", "a", "nope")
    assert said.code == 2
    assert "nope" in said.err
