"""What happened in a run, told while it goes on and afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]

PRICED = "mock:x?latency_ms=100..100&input_micros=1000000&output_micros=2000000"
PLAN = f"""\
tenuto: 1
name: talk
steps:
  many: {{ foreach: [a, b], prompt: "Say ${{{{ item }}}}", model: "{PRICED}" }}
  then: {{ needs: [many], prompt: "And then?", model: "{PRICED}" }}
"""


@pytest.fixture
def talk(project: Path) -> Path:
    path = project / "talk.plan.yaml"
    path.write_text(PLAN)
    return path


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_line_for_each_record_with_what_it_took(tenuto: Tenuto, talk: Path) -> None:
    report = tenuto("run", talk, "--run", "one", "--json").object
    records = objects(tenuto("events", "one").out)
    told = objects(tenuto("logs", "one", "--json").out)
    assert [line["seq"] for line in told] == [record["seq"] for record in records]
    assert [line["kind"] for line in told] == [record["kind"] for record in records]
    replies = [line for line in told if line["kind"] == "ModelReplied"]
    assert sum(line["tokens"] for line in replies) == report["budget"]["spent"]["tokens"]
    assert sum(line["usd_micros"] for line in replies) == report["budget"]["spent"]["usd_micros"] > 0
    assert all(line["duration_ms"] >= 100 for line in replies)
    lines = tenuto("logs", "@last").out.splitlines()
    assert len(lines) == len(records) + 1  # one has the date
    assert "run one started: plan talk, 2 steps" in lines[1]
    assert "asks mock:x?…" in "".join(lines)
    assert "run ended: ok" in lines[-1]
    assert "$0." in lines[-1]


def test_only_a_step_and_those_below_it(tenuto: Tenuto, talk: Path) -> None:
    tenuto("run", talk, "--run", "one")
    steps = {line["step"] for line in objects(tenuto("logs", "one", "--step", "many", "--json").out)}
    assert steps == {"many", "many[0]", "many[1]"}
    refused = tenuto("logs", "one", "--step", "mani")
    assert refused.code == 2
    assert "did you mean many?" in refused.err


def test_a_live_run_of_another_process_is_followed_to_its_end(start: Start, talk: Path) -> None:
    talk.write_text(PLAN.replace("=100..100", "=700..700"))
    run = start("run", talk, "--run", "one", "--max-parallel", "1")
    assert run.stdout is not None
    assert run.stdout.readline() == "run one\n"
    logs, events = start("logs", "-f", "one"), start("events", "--follow", "one")
    assert logs.stdout is not None
    seen = [logs.stdout.readline() for _ in range(3)]
    assert run.poll() is None, "the first lines came only after the run"
    out = logs.stdout.read()  # `communicate` would leave out what `readline` has read ahead
    assert (logs.wait(timeout=60), logs.stderr.read() if logs.stderr else "") == (0, "")
    assert "run ended: ok" in out.splitlines()[-1]
    stored, _ = events.communicate(timeout=60)
    run.communicate(timeout=60)
    assert objects(stored)[-1]["kind"] == "RunEnded"
    assert len("".join([*seen, out]).splitlines()) == len(stored.splitlines()) + 1


def test_who_follows_a_run_that_nobody_drives_is_told(start: Start, tenuto: Tenuto, project: Path) -> None:
    (project / "tight.plan.yaml").write_text('tenuto: 1\nbudget: { model_calls: 0 }\nsteps: { a: { prompt: "x" } }\n')
    assert tenuto("run", "tight.plan.yaml", "--run", "one").code == 3
    logs = start("logs", "-f", "one")
    assert logs.stderr is not None
    assert "nobody drives one now; waiting for `tenuto resume one`" in logs.stderr.readline()
    assert logs.poll() is None
    assert tenuto("resume", "one", "--add-budget", "model_calls=5").code == 0
    out, _ = logs.communicate(timeout=60)
    assert "run ended: ok" in out.splitlines()[-1]


def test_a_line_keeps_to_the_width_of_the_screen(tenuto: Tenuto, talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tenuto("run", talk, "--run", "one")
    monkeypatch.setenv("COLUMNS", "60")
    lines = tenuto("logs", "one").out.splitlines()
    assert max(map(len, lines)) <= 60
    assert any("…" in line and line.endswith("ms)") for line in lines)
