"""Users' type checkers see our types: the marker is shipped, and the public API checks as it should."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_package_says_that_it_is_typed() -> None:
    assert files("tenuto").joinpath("py.typed").is_file()


def test_the_public_api_checks_as_it_should(tmp_path: Path) -> None:
    """mypy, as a user's project has it: strict, and following our types only where they lead."""
    file = ROOT / "tests" / "typing" / "builder_types.py"
    flags = ["--strict", "--follow-imports=silent", "--no-incremental", f"--cache-dir={tmp_path}", "--config-file="]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *flags, str(file)], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (done.stdout, done.returncode) == ("Success: no issues found in 1 source file\n", 0)
