"""Streams that are closed, full or of another encoding: no traceback, and a run goes on without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.cli import output
from tenuto.errors import UsageError

Tenuto = Callable[..., Any]
TALK = 'tenuto: 1\nname: tälk\nsteps: { talk: { prompt: "hi", model: "mock:" } }\n' + (
    'outputs: { said: "${{ steps.talk.output }} ☃" }\n'
)


@pytest.fixture
def talk(project: Path) -> Path:
    (project / "talk.plan.yaml").write_text(TALK, "utf-8")
    return project


def shell(directory: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command.replace("tenuto", f"{sys.executable} -m tenuto", 1)],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


FULL = "tenuto: stdout cannot be written: No space left on device"


@pytest.mark.parametrize("verb", ["--help", "ls", "ls --json", "show one", "events one", "nothing --json"])
def test_a_full_stdout_is_one_line_and_exit_7(verb: str, talk: Path) -> None:
    assert shell(talk, "tenuto run talk.plan.yaml --run one").returncode == 0
    done = shell(talk, f"tenuto {verb} >/dev/full")
    (line,) = done.stderr.splitlines()
    assert line.startswith(FULL)
    assert done.returncode == 7


def test_a_run_goes_on_where_stdout_is_full_and_says_so_at_the_end(talk: Path, tenuto: Tenuto) -> None:
    done = shell(talk, "tenuto run talk.plan.yaml --run one >/dev/full")
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1].startswith(FULL)
    assert "Traceback" not in done.stderr
    assert tenuto("show", "one", "--json").object["status"] == "ok"


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&-", "0<&- 1>&- 2>&-", "2>/dev/full"])
def test_a_run_needs_no_stream(closed: str, talk: Path, tenuto: Tenuto) -> None:
    done = shell(talk, f"tenuto run talk.plan.yaml --run one {closed}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert tenuto("verify", "one").code == 0
    assert shell(talk, f"tenuto nothing {closed}").returncode == 2


def test_another_encoding_escapes_what_it_lacks(talk: Path) -> None:
    done = shell(talk, "tenuto run talk.plan.yaml --run one", PYTHONIOENCODING="ascii")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    shown = shell(talk, "tenuto show one", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert "\\u2713 talk" in shown.stdout
    plain, escaped = (shell(talk, "tenuto show one --json", PYTHONIOENCODING=e).stdout for e in ("utf-8", "ascii"))
    assert escaped.isascii()
    assert json.loads(plain) == json.loads(escaped)


def test_names_that_are_no_text_are_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain(UsageError("is not there", where="\udcff.plan.yaml"), as_json=True)
    assert json.loads(capsys.readouterr().out)["error"]["where"] == "\udcff.plan.yaml"


def test_a_store_that_cannot_be_read_is_named(talk: Path, tenuto: Tenuto, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tenuto("run", "talk.plan.yaml").code == 0

    def denied(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", denied)
    for arguments in (["ls"], ["run", "talk.plan.yaml"], ["resume", "one"]):
        said = tenuto(*arguments)
        assert said.code == 7
        assert "cannot be read (Permission denied); check its permissions" in said.err
