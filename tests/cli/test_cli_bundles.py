"""`tenuto export` and `tenuto import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]

PLAN = """\
tenuto: 1
name: greet
steps:
  say: { prompt: "Greet ${{ steps.count.output }}", model: "mock:", needs: [count] }
  count: { uses: "python:mine:count" }
"""
MINE = """\
from pathlib import Path
Path("imported.txt").write_text("yes")
async def count(ctx, inputs):
    return await ctx.model("Count", model="mock:")
"""
SECRET = "k3y-that-nobody-may-see"


@pytest.fixture
def run(tenuto: Tenuto, project: Path) -> Path:
    """A run `one` of a plan with a Python program."""
    (project / "greet.plan.yaml").write_text(PLAN)
    (project / "mine.py").write_text(MINE)
    assert tenuto("run", "greet.plan.yaml", "--run", "one").code == 0
    (project / "imported.txt").unlink()
    return project


def test_a_run_travels_and_comes_back_the_same(tenuto: Tenuto, run: Path) -> None:
    wrote = tenuto("export", "one", "--json")
    assert wrote.code == 0, wrote
    assert wrote.object["file"] == "one.tenuto"
    head = tenuto("verify", "one", "--json").object["journal_digest"]
    assert wrote.object["head"] == head
    assert wrote.object["bytes"] == (run / "one.tenuto").stat().st_size
    got = tenuto("import", "one.tenuto", "--store", "other", "--json")
    assert (got.code, got.object["new"], got.object["head"]) == (0, True, head)
    assert not tenuto("import", "one.tenuto", "--store", "other", "--json").object["new"]
    assert tenuto("export", "one", "again.tenuto", "--store", "other").code == 0
    assert (run / "again.tenuto").read_bytes() == (run / "one.tenuto").read_bytes()
    for verb in ("show", "verify", "artifacts", "events", "logs", "budget"):
        assert tenuto(verb, "one", "--store", "other").code == 0, verb
    assert "here already" in tenuto("import", "one.tenuto").out
    assert tenuto("verify", "one", "--head", head).code == 0
    assert tenuto("checkout", "one", "files", "--store", "other").code == 0
    assert (run / "files" / "readme.txt").read_text() == "a project\n"


def test_importing_and_replaying_runs_nothing(tenuto: Tenuto, run: Path) -> None:
    tenuto("export", "one")
    tenuto("import", "one.tenuto", "--store", "other")
    replayed = tenuto("replay", "one", "--store", "other", "--json").object
    assert replayed["identical"]
    assert replayed["unchecked"] == ["count"]
    assert not (run / "imported.txt").exists()
    against = tenuto("replay", "one", "--store", "other", "--against", ".", "--json").object
    assert (against["identical"], against["unchecked"]) == (True, [])


def test_an_imported_run_is_not_changed(tenuto: Tenuto, project: Path) -> None:
    plan = 'tenuto: 1\nname: p\nsteps:\n  ship: { approval: { ask: "Ship?" } }\n'
    (project / "p.plan.yaml").write_text(plan)
    assert tenuto("run", "p.plan.yaml", "--run", "w").code == 4
    assert "unfinished" in tenuto("export", "w").out
    assert tenuto("import", "w.tenuto", "--store", "other").code == 0
    for verb in (["resume", "w"], ["cancel", "w"], ["approve", "w"], ["reject", "w"], ["pause", "w"]):
        said = tenuto(*verb, "--store", "other")
        assert (said.code, "was imported" in said.err) == (2, True), (verb, said)
    shown = tenuto("show", "w", "--store", "other")
    assert "imported, so only read here" in shown.out
    assert "tenuto resume" not in shown.out
    assert "tenuto approve" not in shown.out
    assert tenuto("show", "w", "--store", "other", "--json").object["imported"]
    assert not tenuto("show", "w", "--json").object["imported"]
    assert tenuto("approve", "w").code == 0
    assert tenuto("resume", "w").code == 0
    # The run went on where it came from: its record there is another one now.
    refused = tenuto("import", "w.tenuto")
    assert refused.code == 2
    assert "--store DIR" in refused.err
    assert tenuto("export", "w").code == 2
    assert tenuto("export", "w", "w.tenuto", "--force").code == 0
    applied = tenuto("apply", "w", "--store", "other")
    assert applied.code == 2


def test_what_is_damaged_or_no_bundle_makes_no_store(tenuto: Tenuto, run: Path) -> None:
    tenuto("export", "one")
    data = (run / "one.tenuto").read_bytes()
    (run / "cut.tenuto").write_bytes(data[:-20])
    (run / "new.tenuto").write_bytes(data.replace(b"bundle 1", b"bundle 7", 1))
    for name, code, error in (("cut", 7, "damaged"), ("new", 7, "newer_store"), ("none", 2, "usage")):
        said = tenuto("import", f"{name}.tenuto", "--store", "fresh", "--json")
        assert (said.code, said.object["error"]["code"]) == (code, error)
    assert not (run / "fresh").exists()


def test_replay_of_an_imported_run_reads_no_plan_from_outside(tenuto: Tenuto, run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "o.plan.yaml").write_text('tenuto: 1\nname: o\nsteps:\n  say: { prompt: "Hi", model: "mock:" }\n')
    assert tenuto("run", str(outside / "o.plan.yaml"), "--run", "out").code == 0
    tenuto("export", "out")
    tenuto("import", "out.tenuto", "--store", "other")
    said = tenuto("replay", "out", "--store", "other", "--against", ".")
    assert said.code == 2
    assert "not inside its repository" in said.err


@pytest.mark.sandbox
def test_no_secret_is_in_a_bundle(tenuto: Tenuto, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    (project / "tenuto.toml").write_text('[secrets]\nKEY = { env = "MY_KEY" }\n')
    work = 'run: "echo $KEY", effect: workspace, grants: { secrets: [KEY] }'
    after = 'needs: [leak], model: "mock:", prompt: "Say ${{ steps.leak.output.stdout }}"'
    (project / "p.plan.yaml").write_text(f"tenuto: 1\nname: p\nsteps:\n  leak: {{ {work} }}\n  say: {{ {after} }}\n")
    assert tenuto("run", "p.plan.yaml", "--run", "s").code == 0
    assert tenuto("export", "s").code == 0
    data = (project / "s.tenuto").read_bytes()
    assert b"[secret:KEY]" in data
    assert SECRET.encode() not in data
