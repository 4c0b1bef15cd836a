"""The plan runs, keeps to its budget and replays, with a model that costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]


def tenuto(store: Path, *arguments: str) -> dict[str, Any]:
    """What a command answers with --json. Runs are kept in a store of the test's own."""
    command = [sys.executable, "-m", "tenuto", *arguments, "--store", str(store), "--json"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_question_has_an_answer_and_the_run_replays(tmp_path: Path) -> None:
    questions = '["What is this?", "Who is it for?"]'
    report = tenuto(tmp_path, "run", "hello.plan.yaml", "--run", "test", "--input", f"questions={questions}")
    assert report["status"] == "ok"
    steps = {step["path"]: step["status"] for step in report["steps"]}
    assert steps["review[0]"] == steps["review[1]"] == steps["summary"] == "completed"
    assert report["outputs"]["summary"]
    assert report["budget"]["spent"]["model_calls"] <= report["budget"]["limit"]["model_calls"]
    assert tenuto(tmp_path, "replay", "test")["identical"]
