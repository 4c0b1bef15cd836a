"""The step chooses a name, and does so again from its record."""

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


def test_a_name_is_chosen_and_the_run_replays(tmp_path: Path) -> None:
    report = tenuto(tmp_path, "run", "names.plan.yaml", "--run", "test", "--input", "topic=cats")
    assert report["status"] == "ok"
    assert report["outputs"]["name"]
    assert report["budget"]["spent"]["model_calls"] == 3
    replayed = tenuto(tmp_path, "replay", "test")
    assert replayed["identical"]
    assert replayed["unchecked"] == []
