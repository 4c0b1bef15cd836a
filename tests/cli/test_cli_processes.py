"""Runs that are stopped, killed, contended for and decided about from other processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

Tenuto = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]

SLOW = """\
tenuto: 1
name: slow
steps:
  quick: { prompt: "at once", model: "mock:" }
  slow: { needs: [quick], prompt: "in a minute", model: "mock:?latency_ms=60000..60000" }
"""
ONCE = """\
tenuto: 1
name: once
steps:
  ship: { run: "sleep 60", effect: once }
  after: { needs: [ship], run: "echo after" }
"""


@pytest.fixture
def plans(project: Path) -> Path:
    (project / "slow.plan.yaml").write_text(SLOW)
    (project / "once.plan.yaml").write_text(ONCE)
    return project


def wait_for(child: subprocess.Popen[str], words: str) -> None:
    """Read a child's progress until it says something."""
    assert child.stderr is not None
    for line in child.stderr:
        if words in line:
            return
    raise AssertionError(f"the child ended without saying {words!r}")


def started(start: Start, *arguments: str, step: str = "slow") -> subprocess.Popen[str]:
    """A run that waits for its slow call."""
    child = start(*arguments)
    wait_for(child, f"started    {step}")
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_says_how_it_is_resumed(number: int, plans: Path, start: Start, tenuto: Tenuto) -> None:
    # A child inherits what its parent ignores, and tests may run under nohup, which ignores SIGHUP.
    before = signal.signal(number, signal.SIG_DFL) if number == signal.SIGHUP else None
    try:
        child = started(start, "run", "slow.plan.yaml", "--run", "one")
    finally:
        if before is not None:
            signal.signal(number, before)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert out.splitlines()[0] == "run one"
    assert err.splitlines()[-1].strip() == "tenuto resume one"
    (run,) = tenuto("ls", "--json").object["runs"]
    assert run["status"] == "stopped"
    assert "◌ slow interrupted" in " ".join(tenuto("show", "one").out.split())
    assert tenuto("show", "one", "--json").object["status"] == "running"


def test_a_stopped_run_reports_itself_as_json(plans: Path, start: Start, tenuto: Tenuto) -> None:
    child = start("run", "slow.plan.yaml", "--run", "one", "--json")
    after = 0
    while after < 2:  # two model calls are on record: the second one is under way
        said = tenuto("events", "one")
        after = said.out.count('"kind":"ModelCallRequested"')
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "")
    report = json.loads(out)
    assert (report["run"], report["exit"], report["status"]) == ("one", 130, "running")


def test_a_live_run_belongs_to_its_process(plans: Path, start: Start, tenuto: Tenuto) -> None:
    started(start, "run", "slow.plan.yaml", "--run", "one")
    said = tenuto("resume", "one", "--json")
    assert said.code == 6
    assert said.object["error"]["code"] == "fenced"
    assert tenuto("show", "one", "--json").object["owned"] is True
    assert tenuto("verify", "one").code == 0


def test_a_live_run_is_cancelled_by_whoever_drives_it(plans: Path, start: Start, tenuto: Tenuto) -> None:
    child = started(start, "run", "slow.plan.yaml", "--run", "one")
    said = tenuto("cancel", "one", "--reason", "enough")
    assert (said.code, said.out) == (0, "run one was cancelled\n")
    child.communicate(timeout=60)
    assert child.returncode == 1
    assert tenuto("show", "one", "--json").object["error"] == "enough"
    assert tenuto("replay", "one").code == 0


def test_a_dead_run_is_cancelled_without_its_plan_or_code(plans: Path, start: Start, tenuto: Tenuto) -> None:
    child = started(start, "run", "slow.plan.yaml", "--run", "one")
    child.kill()
    child.wait(timeout=60)
    (plans / "slow.plan.yaml").unlink()
    report = tenuto("cancel", "one", "--json").object
    assert (report["status"], report["owned"]) == ("cancelled", False)
    assert tenuto("verify", "one").code == 0
    assert tenuto("replay", "one").code == 0
    assert tenuto("cancel", "one").code == 2


@pytest.mark.sandbox
def test_a_call_in_doubt_waits_for_a_person(plans: Path, start: Start, tenuto: Tenuto) -> None:
    child = started(start, "run", "once.plan.yaml", "--run", "one", step="ship")
    child.kill()
    child.wait(timeout=60)
    waiting = tenuto("resume", "one", "--json")
    assert waiting.code == 4
    assert waiting.object["status"] == "waiting"
    assert waiting.object["waiting_for"] == ["ship/1/0"]
    shown = tenuto("show", "one").out
    assert "tenuto resolve one ship/1/0 --done" in shown
    assert "? ship in doubt" in " ".join(shown.split())
    result = plans / "result.json"
    result.write_text('{"exit_code": 0, "stderr": "", "stdout": "", "truncated": false}')
    said = tenuto("resolve", "one", "ship/1/0", "--done", "--result", result)
    assert said.code == 0
    assert "answered before" in tenuto("resolve", "one", "ship/1/0", "--not-done").err
    assert tenuto("resume", "one").code == 0
    assert tenuto("replay", "one").code == 0


@pytest.mark.sandbox
def test_an_answer_can_be_given_before_the_run_is_resumed(plans: Path, start: Start, tenuto: Tenuto) -> None:
    child = started(start, "run", "once.plan.yaml", "--run", "one", step="ship")
    assert tenuto("resolve", "one", "ship/1/0", "--done").code == 2
    child.kill()
    child.wait(timeout=60)
    assert tenuto("resolve", "one", "one/ship/1/0", "--done").code == 0
    assert tenuto("resume", "one").code == 0


def test_changed_code_of_an_unfinished_step_stops_resume(project: Path, start: Start, tenuto: Tenuto) -> None:
    plan = 'tenuto: 1\nsteps: { a: { uses: "python:work:go" } }\n'
    code = "async def go(ctx, inputs):\n    return (await ctx.model('hi', model='mock:?latency_ms=60000..60000'))\n"
    (project / "p.plan.yaml").write_text(plan)
    (project / "work.py").write_text(code)
    child = started(start, "run", "p.plan.yaml", "--run", "one", "--no-sandbox", step="a")
    child.kill()
    child.wait(timeout=60)
    (project / "work.py").write_text(code.replace("'hi'", "'ho'"))
    said = tenuto("resume", "one", "--json")
    assert said.code == 5
    assert said.object["error"]["where"].startswith("work.py:")
    before = tenuto("events", "one").out
    assert tenuto("cancel", "one").code == 0
    assert tenuto("events", "one").out.startswith(before)


def test_a_reader_that_goes_away_is_no_error(plans: Path, tenuto: Tenuto) -> None:
    wide = "[" + ", ".join(f"'{n}'" for n in range(300)) + "]"
    plan = f'tenuto: 1\nsteps: {{ a: {{ foreach: {wide}, prompt: "x", model: "mock:" }} }}\n'
    (plans / "wide.plan.yaml").write_text(plan)
    assert tenuto("run", "wide.plan.yaml", "--run", "one").code == 0
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "tenuto", "events", "one"]
    done = subprocess.run(command, cwd=plans, stdout=write, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_help_imports_no_verb_and_nothing_heavy() -> None:
    heavy = ("asyncio", "httpx", "jsonschema_rs", "msgspec", "rich", "sqlite3", "ssl", "yaml", "tenuto.app")
    script = (
        "import sys\nfrom tenuto.cli.program import run_program\n"
        "try:\n    run_program(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "[]"
    assert "Continue a run" in done.stdout


def test_every_verb_has_help_and_json(tenuto: Tenuto) -> None:
    from tenuto.cli.program import VERBS

    for verb in VERBS:
        said = tenuto(verb, "--help")
        assert said.code == 0
        assert "--json" in said.out
        assert "Example" in said.out


def test_the_examples_of_every_help_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as far as they go without being carried out, where the directories that they name are there."""
    from tenuto.cli.program import VERBS, program

    (tmp_path / "tests" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for verb in VERBS:
        context = click.Context(program, info_name="tenuto")
        command = program.get_command(context, verb)
        assert command is not None
        lines = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("tenuto ")]
        assert lines or verb == "completion"
        for line in lines:
            name, *arguments = shlex.split(re.split(r"\s[|>#]|\s&&", line)[0])[1:]
            assert name == verb, line
            with command.make_context(verb, arguments) as made:
                if isinstance(command, click.Group) and arguments:
                    assert command.get_command(made, arguments[0]) is not None


def test_a_changed_tool_stops_resume(project: Path, start: Start, tenuto: Tenuto) -> None:
    plan = SLOW + "tools: ['python:helpers']\n"
    code = "from tenuto import tool\n\n\n@tool(effect='read')\ndef double(n: int) -> int:\n    return 2 * n\n"
    (project / "p.plan.yaml").write_text(plan)
    (project / "helpers.py").write_text(code)
    child = started(start, "run", "p.plan.yaml", "--run", "one")
    child.kill()
    child.wait(timeout=60)
    (project / "helpers.py").write_text(code.replace("2 * n", "n + n"))
    said = tenuto("resume", "one", "--json")
    assert said.code == 5
    assert said.object["error"]["where"] == "python:helpers:double"


@pytest.mark.sandbox
def test_answers_that_contradict_each_other_are_refused(plans: Path, start: Start, tenuto: Tenuto) -> None:
    child = started(start, "run", "once.plan.yaml", "--run", "one", step="ship")
    child.kill()
    child.wait(timeout=60)
    for flags in (["--done", "--not-done"], ["--not-done", "--done"]):
        said = tenuto("resolve", "one", "ship/1/0", *flags)
        assert said.code == 2
        assert "--done and --not-done contradict each other; give one" in said.err
    assert "its output will be null; give --result FILE" in tenuto("resolve", "one", "ship/1/0", "--done").out
