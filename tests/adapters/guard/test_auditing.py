"""What a program reaches at run time: refused, named with its place, and the same on replay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.guard.auditing import AuditGuard
from tenuto.adapters.programs import PythonPrograms
from tenuto.core.ids import StepPath
from tenuto.runtime.context import Inputs
from tenuto.runtime.programs import RunningProgram

HEAD = """\
import logging, os, pathlib, socket, sqlite3, subprocess, tempfile, threading, time, traceback, urllib.request
import json.decoder


async def go(ctx, inputs):
    await ctx.sleep(1)
"""
PLACE = HEAD.count("\n") + 1
_numbers = iter(range(1_000))


def raised(directory: Path, body: str) -> str:
    """What the program fails with when it goes on after its first wait; empty where it does not."""
    name = f"audited_{next(_numbers)}"
    (directory / f"{name}.py").write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    program = PythonPrograms([directory], guard=AuditGuard()).load(f"python:{name}:go")
    running = RunningProgram(program, path=StepPath("a"), attempt=1, inputs=Inputs(), seed="7", at_us=0, guarded=True)
    running.start()
    advance = running.feed(_told())
    running.close()
    return "" if advance.raised is None else advance.raised.message.replace(name, "work")


def _told() -> Any:
    from tenuto.core.state import Fed

    return Fed(at=1, failure=None, ordinal="0", value=None)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("open('x')", "files"),
        ("pathlib.Path('x').read_text()", "files"),
        ("os.listdir('.')", "files"),
        ("os.remove('not there')", "files"),
        ("tempfile.mkdtemp()", "files"),
        ("sqlite3.connect(':memory:')", "files"),
        ("subprocess.run(['true'])", "another process"),
        ("os.system('true')", "another process"),
        ("socket.socket()", "the network"),
        ("urllib.request.urlopen('http://127.0.0.1:1/')", "the network"),
        ("os.environ['X'] = '1'", "the environment"),
        ("try:\n    open('x')\nexcept Exception:\n    pass\nreturn 1", "files"),
        ("async def lane(): open('x')\nawait lane()", "files"),
    ],
)
def test_what_reaches_out_fails_with_its_place(tmp_path: Path, code: str, what: str) -> None:
    message = raised(tmp_path, code)
    assert message.startswith(f"RuntimeError: a step program reaches {what} without ctx; use ") or "give" in message
    assert "(work.py:" in message
    assert int(message.rpartition(":")[2].rstrip(")")) in (PLACE, PLACE + 1)


@pytest.mark.parametrize(
    "code",
    [
        "import colorsys; import xml.dom.minidom",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.format_exc()",
        "logging.getLogger('x').warning('hello')",
        "open(json.decoder.__file__).close()",
        "open('/dev/null').close()  # tenuto: allow",
        "print('x')",
        "import zoneinfo; zoneinfo.ZoneInfo('UTC')",
    ],
)
def test_what_is_not_the_programs_is_let_through(tmp_path: Path, code: str) -> None:
    assert raised(tmp_path, code) == ""


def test_nothing_outside_of_programs_is_watched(tmp_path: Path) -> None:
    assert raised(tmp_path, "open('x')")
    (tmp_path / "x").write_text("fine")
    assert (tmp_path / "x").read_text() == "fine"


CODE = """\
async def go(ctx, inputs):
    text = await ctx.model("hi")
    return open("notes.txt").read() + text
"""


def test_a_run_fails_there_and_its_replay_is_identical(tmp_path: Path) -> None:
    (tmp_path / "p.plan.yaml").write_text("tenuto: 1\nsteps: { a: { uses: 'python:reading_work:go' } }\n")
    (tmp_path / "reading_work.py").write_text(CODE)
    (tmp_path / "notes.txt").write_text("notes")

    def tenuto(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "tenuto", *arguments, "--json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, json.loads(done.stdout)

    code, found = tenuto("run", "p.plan.yaml", "--run", "one")
    assert code == 1
    (step,) = found["steps"]
    assert step["error"]["kind"] == "program"
    assert "reaches files without ctx" in step["error"]["message"]
    assert "(reading_work.py:3)" in step["error"]["message"]
    code, found = tenuto("replay", "one")
    assert (code, found["identical"], found["unchecked"]) == (0, True, [])
