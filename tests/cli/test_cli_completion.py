"""What a shell is told to complete: right, fast, and nothing else whatever goes wrong."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]

PLAN = (
    'tenuto: 1\nname: talk\nsteps: { many: { foreach: [a, b], prompt: "x" }, then: { needs: [many], prompt: "y" } }\n'
)


@pytest.fixture
def ran(tenuto: Tenuto, project: Path) -> Path:
    (project / "talk.plan.yaml").write_text(PLAN)
    (project / "deep").mkdir()
    (project / "deep" / "other.plan.yaml").write_text(PLAN)
    for run in ("first", "second"):
        assert tenuto("run", "talk.plan.yaml", "--run", run).code == 0
    return project


def asked(directory: Path, line: str) -> dict[str, str]:
    """What zsh would be told for a command line whose last word is not finished: words with what stands beside."""
    words = line.split(" ")
    environment = os.environ | {
        "_TENUTO_COMPLETE": "zsh_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tenuto"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    return {lines[i + 1]: lines[i + 2] for i in range(0, len(lines) - 2, 3)}


def test_verbs_flags_runs_steps_calls_and_plans_are_completed(ran: Path) -> None:
    assert "Show how a run stands" in asked(ran, "tenuto sh")["show"]
    assert {"--json", "--store"} <= set(asked(ran, "tenuto show --"))
    assert list(asked(ran, "tenuto show ")) == ["@last", "second", "first"]
    assert asked(ran, "tenuto replay f") == {"first": "talk, ok"}
    assert set(asked(ran, "tenuto show first ")) == {"many", "many[0]", "many[1]", "then"}
    assert asked(ran, "tenuto show first then/") == {"then/1/0": "mock:"}
    assert set(asked(ran, "tenuto logs @last --step many[")) == {"many[0]", "many[1]"}
    assert set(asked(ran, "tenuto check ")) == {"greet.plan.yaml", "talk.plan.yaml"}
    assert set(asked(ran, "tenuto run deep/o")) == {"deep/other.plan.yaml"}
    assert set(asked(ran, "tenuto config get m")) == {"max_parallel", "model"}
    assert set(asked(ran, "tenuto ls --status fa")) == {"failed"}


def test_nothing_is_said_where_nothing_can_be_completed(ran: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert asked(empty, "tenuto show ") == {}
    assert asked(ran, "tenuto nonsense ") == {}
    assert asked(ran, "tenuto show nothing x") == {}
    (ran / "tenuto.toml").write_text("modell = 1\n")
    assert asked(ran, "tenuto show ") == {}
    (ran / "tenuto.toml").write_text("")
    (ran / ".tenuto" / "journal.db").write_bytes(b"no store" * 1000)
    assert asked(ran, "tenuto show ") == {}


def test_completing_takes_little(ran: Path) -> None:
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert asked(ran, "tenuto show ")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.25  # seconds of CPU; about 0.1 on a machine at rest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_says_how_it_is_installed(tenuto: Tenuto, shell: str) -> None:
    said = tenuto("completion", shell)
    assert said.code == 0
    assert said.out.startswith(
        f"# To have it in every new shell:  {tenuto('completion', shell, '--json').object['install']}"
    )
    assert "_TENUTO_COMPLETE" in said.out


def test_an_unknown_shell_is_refused(tenuto: Tenuto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/zsh")
    assert "#compdef" in tenuto("completion").out
    refused = tenuto("completion", "fsih")
    assert (refused.code, "did you mean fish?" in refused.err) == (2, True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself_completes_a_step_with_brackets(tenuto: Tenuto, ran: Path) -> None:
    (ran / "many0").write_text("a file that the pattern many[0] would fit")
    script = ran / "complete.bash"
    script.write_text(tenuto("completion", "bash").out)
    line = 'COMP_WORDS=(tenuto show first "many["); COMP_CWORD=3; _tenuto_completion tenuto'
    done = subprocess.run(
        ["bash", "-c", f'source complete.bash; {line}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        cwd=ran,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == ["many[0]", "many[1]"], done.stderr
