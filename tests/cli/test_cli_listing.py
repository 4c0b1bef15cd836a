"""The list of runs: filtered, and whole where one of them is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

Tenuto = Callable[..., Any]

TALK = 'tenuto: 1\nname: talk\nsteps: { a: { prompt: "x" } }\n'
BAD = 'tenuto: 1\nname: bad\nsteps: { a: { prompt: "x", model: "mock:?fail=1", retry: { tries: 1 } } }\n'


def runs(tenuto: Tenuto, *flags: str) -> list[str]:
    return [run["run"] for run in tenuto("ls", *flags, "--json").object["runs"]]


def test_runs_are_chosen_by_status_plan_and_number(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(TALK)
    (project / "bad.plan.yaml").write_text(BAD)
    for plan, run in (("talk", "t1"), ("bad", "b1"), ("talk", "t2")):
        tenuto("run", f"{plan}.plan.yaml", "--run", run)
    assert runs(tenuto) == ["t1", "b1", "t2"]
    assert runs(tenuto, "--status", "failed") == ["b1"]
    assert runs(tenuto, "--status", "failed", "--status", "ok") == ["t1", "b1", "t2"]
    assert runs(tenuto, "--plan", "ta*") == ["t1", "t2"]
    assert runs(tenuto, "--plan", "ta*", "--limit", "1") == ["t2"]
    assert runs(tenuto, "--status", "waiting") == []
    assert "all of them: tenuto ls" in tenuto("ls", "--status", "waiting").out
    refused = tenuto("ls", "--status", "fialed")
    assert refused.code == 2
    assert "did you mean failed?" in refused.err


def test_a_damaged_run_hides_no_other(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(TALK)
    for run in ("one", "two", "three"):
        tenuto("run", "talk.plan.yaml", "--run", run)
    database = sqlite3.connect(project / ".tenuto" / "journal.db")
    database.execute("DELETE FROM chunks WHERE place = (SELECT min(place) FROM chunks WHERE place >> 32 = 2)")
    database.commit()
    database.close()
    found = tenuto("ls", "--json").object["runs"]
    assert [(run["run"], run["status"]) for run in found] == [("one", "ok"), ("two", "damaged"), ("three", "ok")]
    assert "no record 0" in found[1]["damage"]
    assert "no record 0" in tenuto("ls").out
    assert tenuto("show", "three").code == 0
    assert tenuto("show", "two").code == 7
