"""`tenuto replay --all`: a folder of recorded runs as the proof before an upgrade."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Tenuto

PLAN = """\
tenuto: 1
name: greet
steps:
  ask: { prompt: "Greet the world.", model: "mock:" }
  write: { needs: [ask], run: "echo hello" }
  other: { prompt: "Say goodbye.", model: "mock:" }
"""


@pytest.fixture
def folder(tenuto: Tenuto, project: Path) -> Path:
    """Two exported runs of one plan."""
    (project / "greet.plan.yaml").write_text(PLAN)
    (project / "runs").mkdir()
    for run in ("one", "two"):
        assert tenuto("run", "greet.plan.yaml", "--run", run).code == 0
        assert tenuto("export", run, f"runs/{run}.tenuto").code == 0
    return project


def test_all_that_still_replays_is_counted(tenuto: Tenuto, folder: Path) -> None:
    said = tenuto("replay", "--all", "runs")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "identical: 2 of 2 runs"
    assert tenuto("replay", "--all", "runs", "--against", ".").code == 0


def test_what_today_would_ask_differently_is_named_with_its_cost(tenuto: Tenuto, folder: Path) -> None:
    (folder / "greet.plan.yaml").write_text(PLAN.replace("Greet the world", "Greet the World"))
    said = tenuto("replay", "--all", "runs", "--against", ".")
    assert said.code == 5
    lines = said.out.splitlines()
    assert lines[0].startswith("differs    one.tenuto  at ask/1/0: ")
    assert "greet.plan.yaml:4" in lines[0]
    assert lines[1].startswith("           to run again: ask, write; at most ")
    assert lines[-1] == "identical: 0 of 2 runs"
    found = tenuto("replay", "--all", "runs", "--against", ".", "--json").object
    assert (found["identical"], found["of"], found["exit"]) == (0, 2, 5)
    assert found["runs"][0]["affected"] == ["ask", "write"]
    assert found["runs"][0]["cost"]["tokens"] > 0
    assert tenuto("replay", "--all", "runs").code == 0, "the records themselves are as they were"


def test_a_damaged_bundle_is_a_line_and_hides_no_other(tenuto: Tenuto, folder: Path) -> None:
    path = folder / "runs" / "one.tenuto"
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))
    said = tenuto("replay", "--all", "runs")
    assert said.code == 7
    assert said.out.splitlines()[0].startswith("unread     one.tenuto  ")
    assert said.out.splitlines()[1].startswith("identical  two.tenuto  ")


def test_a_run_or_a_folder(tenuto: Tenuto, folder: Path) -> None:
    for arguments in ((), ("one", "--all", "runs")):
        said = tenuto("replay", *arguments)
        assert said.code == 2
        assert "replay takes a RUN, or --all DIR" in said.err
    (folder / "empty").mkdir()
    said = tenuto("replay", "--all", "empty")
    assert said.code == 2
    assert "there are no bundles here" in said.err
