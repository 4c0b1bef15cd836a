"""The plan writes its page, and the repository stays as it was until that is applied."""

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


def test_the_page_is_written_where_it_is_applied(tmp_path: Path) -> None:
    store, target = tmp_path / "store", tmp_path / "target"
    report = tenuto(store, "run", "report.plan.yaml", "--run", "test")
    assert report["status"] == "ok"
    assert report["outputs"]["lines"] > 0
    applied = tenuto(store, "apply", "test", "--to", str(target))
    assert {"path": "report/files.md", "change": "added"} in applied["changes"]
    assert "Lines of Markdown" in (target / "report" / "files.md").read_text()
