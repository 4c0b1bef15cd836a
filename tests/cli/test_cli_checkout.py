"""`tenuto checkout`: the files of any step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Tenuto

PLAN = """\
tenuto: 1
name: many
steps:
  first: { run: "echo 1 > first.txt && chmod +x first.txt && ln -s first.txt link" }
  each: { needs: [first], foreach: [a, b], key: "${{ item }}", run: "echo ${{ item }} > ${{ item }}.txt" }
  broken: { needs: [each], run: "echo no > no.txt && exit 1", on_error: continue }
  last: { needs: [broken], run: "rm first.txt link" }
"""


@pytest.fixture
def ran(tenuto: Tenuto, project: Path) -> Tenuto:
    (project / "greet.plan.yaml").unlink()
    (project / "tenuto.toml").unlink()
    (project / "many.plan.yaml").write_text(PLAN)
    assert tenuto("run", "many.plan.yaml", "--run", "many-1").code == 0
    (project / "many.plan.yaml").unlink()
    return tenuto


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()} - {
        "many.plan.yaml",
        "readme.txt",
    }


def test_every_step_has_the_files_it_ended_with(ran: Tenuto, project: Path, tmp_path: Path) -> None:
    expected = {
        "first": {"first.txt", "link"},
        "each[a]": {"first.txt", "link", "a.txt"},
        "each[b]": {"first.txt", "link", "b.txt"},
        "each": {"first.txt", "link", "a.txt", "b.txt"},
        "broken": {"first.txt", "link", "a.txt", "b.txt"},
        "last": {"a.txt", "b.txt"},
        "end": {"a.txt", "b.txt"},
    }
    shown = {step["path"]: step for step in ran("show", "many", "--json").object["steps"]}
    for number, (step, names) in enumerate(expected.items()):
        place = tmp_path / str(number)
        said = ran("checkout", "many", step, place, "--json")
        assert (said.code, files(place)) == (0, names)
        tree = ran("show", "@last", "--json").object["tree_digest"] if step == "end" else shown[step]["tree_digest"]
        assert said.object == {
            "run": "many-1",
            "step": step,
            "status": "ok" if step == "end" else shown[step]["status"],
            "directory": str(place),
            "tree_digest": tree,
            "files": len(names) + 2,
        }
    assert os.access(tmp_path / "0/first.txt", os.X_OK)
    assert os.readlink(tmp_path / "0/link") == "first.txt"
    assert files(project) == {name for name in files(project) if name.startswith(".tenuto/")}


def test_without_a_step_it_is_the_end(ran: Tenuto, tmp_path: Path) -> None:
    said = ran("checkout", "@last", tmp_path / "out")
    assert said.out == f"checked out: the end of many-1 (ok) to {tmp_path / 'out'}, 4 files\n"
    assert files(tmp_path / "out") == {"a.txt", "b.txt"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["many", "last"], "last is a step of the run; name a directory, too; `tenuto checkout many last DIR`"),
        (["many", "lost", "out"], "run many-1: there is no step lost; did you mean last?"),
        (["many", "each[c]", "out"], "there is no step each[c]; did you mean each["),
        (["many", "../../etc", "out"], "there is no step ../../etc; see `tenuto show many-1`"),
        (["many", "last", "out", "more"], "checkout takes a run, a step and a directory"),
        (["many", "last", ""], "checkout needs a directory"),
        (["many"], "Missing argument"),
        (["other", "out"], "there is no run other"),
        (["many", "last", "."], "the directory is not empty: it holds"),
        (["many", "last", "readme.txt"], "readme.txt: this is not a directory"),
    ],
)
def test_what_cannot_be_checked_out_is_said(ran: Tenuto, project: Path, arguments: list[str], message: str) -> None:
    before = files(project)
    said = ran("checkout", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert files(project) == before


def test_a_run_that_has_not_ended_has_no_end_yet(tenuto: Tenuto, project: Path, tmp_path: Path) -> None:
    (project / "small.plan.yaml").write_text(
        'tenuto: 1\nbudget: { tool_calls: 1 }\nsteps:\n  one: { run: "echo 1 > 1.txt" }\n'
        '  two: { needs: [one], run: "true" }\n'
    )
    assert tenuto("run", "small.plan.yaml", "--run", "small").code == 3
    refused = tenuto("checkout", "small", tmp_path / "out", "--json")
    assert (refused.code, refused.object["error"]["code"]) == (2, "refused")
    assert tenuto("checkout", "small", "one", tmp_path / "one").code == 0
    assert (tmp_path / "one/1.txt").read_text() == "1\n"


def test_steps_of_sub_plans_and_iterations_have_their_files(tenuto: Tenuto, project: Path, tmp_path: Path) -> None:
    (project / "sub.plan.yaml").write_text('tenuto: 1\nsteps:\n  inner: { run: "echo 1 > inner.txt" }\n')
    (project / "top.plan.yaml").write_text(
        "tenuto: 1\nsteps:\n  do: { plan: sub.plan.yaml }\n"
        '  again: { needs: [do], repeat: { max: 3 }, run: "echo x >> again.txt" }\n'
    )
    assert tenuto("run", "top.plan.yaml", "--run", "top").code == 0
    for number, step in enumerate(("do/inner", "again#1", "again#2", "again")):
        place = tmp_path / str(number)
        assert tenuto("checkout", "top", step, place).code == 0
        assert (place / "inner.txt").read_text() == "1\n"
        assert (place / "again.txt").read_text() == "x\n" * number if number else not (place / "again.txt").exists()
