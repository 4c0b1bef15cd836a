"""Changed code of Python steps, named by `resume` and `replay`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

Start = Callable[..., "subprocess.Popen[str]"]

PLAN = """\
tenuto: 1
steps:
  a: { uses: "python:changed_work:first" }
  b: { needs: [a], uses: "python:changed_work:second" }
"""
WORK = """\
from changed_helper import question


async def first(ctx, inputs):
    await ctx.model(question("one"))
    return await ctx.model("two", model="mock:?latency_ms=LATENCY..LATENCY")


async def second(ctx, inputs):
    return len(inputs)
"""
HELPER = "def question(text):\n    return 'say ' + text\n"


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def object(self) -> Any:
        return json.loads(self.out)


Tenuto = Callable[..., Said]


@pytest.fixture
def tenuto(project: Path) -> Tenuto:
    """Give a command in a process of its own, which imports the code as it is now."""

    def give(*arguments: str) -> Said:
        command = [sys.executable, "-B", "-m", "tenuto", *arguments]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=60)
        return Said(done.returncode, done.stdout, done.stderr)

    return give


def write(project: Path, *, latency_ms: int = 0, work: str = WORK, helper: str = HELPER) -> None:
    (project / "p.plan.yaml").write_text(PLAN)
    (project / "changed_work.py").write_text(work.replace("LATENCY", str(latency_ms)))
    (project / "changed_helper.py").write_text(helper)


def killed(project: Path, start: Start, tenuto: Tenuto) -> None:
    """A run that was killed while its first step waited for its second model call."""
    write(project, latency_ms=60_000)
    child = start("run", "p.plan.yaml", "--run", "one", "--no-sandbox")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and tenuto("events", "one").out.count('"ModelCallRequested"') < 2:
        time.sleep(0.1)
    child.kill()
    child.wait(timeout=30)


def test_resume_names_the_step_the_place_and_both_hashes(project: Path, start: Start, tenuto: Tenuto) -> None:
    killed(project, start, tenuto)
    before = tenuto("events", "one").out
    write(project, latency_ms=60_000, work=WORK.replace('"two"', '"TWO"'))
    said = tenuto("resume", "one")
    assert said.code == 5
    assert said.err.startswith(
        "tenuto: changed_work.py:4: the code of step a (python:changed_work:first) has changed since the run "
        "started: recorded "
    )
    assert said.err.endswith("; put the old code back to resume, or start a new run\n")
    # A step that has not begun would run with the new code, against what the run was started with.
    write(project, latency_ms=60_000, work=WORK.replace("len(inputs)", "1 + len(inputs)"))
    said = tenuto("resume", "one")
    assert said.code == 5
    assert said.err.startswith(
        "tenuto: changed_work.py:9: the code of step b (python:changed_work:second) has changed"
    )
    # A helper is not in the hash: it shows where it changes a question.
    write(project, latency_ms=60_000, helper=HELPER.replace("say ", "tell "))
    said = tenuto("resume", "one")
    assert said.code == 5
    assert said.err == (
        "tenuto: changed_work.py:5: step a (python:changed_work:first) asks something else than it did "
        "(its advance 0); something it imports has changed; put it back, or start a new run\n"
    )
    assert tenuto("events", "one").out == before


def test_replay_says_which_code_has_changed_and_where(project: Path, tenuto: Tenuto) -> None:
    write(project)
    assert tenuto("run", "p.plan.yaml", "--run", "one", "--no-sandbox").code == 0
    assert tenuto("replay", "one", "--json").object["unchecked_because"] == []
    write(project, work=WORK.replace("len(inputs)", "1 + len(inputs)"))
    said = tenuto("replay", "one")
    assert said.code == 0
    because = said.out.splitlines()[-1]
    assert because.startswith(
        "not checked: changed_work.py:9: the code of step b (python:changed_work:second) has changed since the run "
        "started: recorded "
    )
    found = tenuto("replay", "one", "--json").object
    assert (found["unchecked"], found["identical"]) == (["b"], True)
    assert [f"not checked: {line}" for line in found["unchecked_because"]] == [because]
    write(project, helper=HELPER.replace("say ", "tell "))
    said = tenuto("replay", "one", "--json")
    assert said.code == 5
    assert said.object["divergence"]["where"] == "changed_work.py:5"
    (project / "changed_work.py").unlink()
    (project / "changed_helper.py").unlink()
    because = tenuto("replay", "one", "--json").object["unchecked_because"]
    assert [line.partition(":")[0] for line in because] == ["step a", "step b"]
    assert all("there is no module changed_work" in line for line in because)
