"""Giving `tenuto` commands: in this process where that is enough, in one of their own where it matters."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tenuto.cli.program import run_program


class Said(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


Tenuto = Callable[..., Said]

PLAN = """\
tenuto: 1
name: greet
inputs: { who: { type: string, default: world } }
budget: { tokens: 100000 }
steps:
  say: { prompt: "Greet ${{ inputs.who }}", model: "mock:" }
  write: { needs: [say], run: "echo hello > hello.txt" }
outputs: { said: "${{ steps.say.output }}" }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a plan and a file, which is where commands are given."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "greet.plan.yaml").write_text(PLAN)
    (directory / "readme.txt").write_text("a project\n")
    (directory / "tenuto.toml").write_text("")
    monkeypatch.chdir(directory)
    for name in ("TENUTO_STORE", "TENUTO_MODEL", "TENUTO_SANDBOX", "TENUTO_MAX_PARALLEL", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return directory


@pytest.fixture
def tenuto(project: Path, capsys: pytest.CaptureFixture[str]) -> Tenuto:
    """Give a command in this process."""

    def give(*arguments: str | Path) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_program([str(argument) for argument in arguments])
        written = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, written.out, written.err)

    return give


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    """Start a command in a process of its own; what is left of it at the end is killed."""
    children: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tenuto", *map(str, arguments)]
        child = subprocess.Popen(
            command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()
