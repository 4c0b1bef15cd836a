"""What is shown while a run goes on: a live tree on a terminal, lines elsewhere, data apart from both."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tenuto.cli.bars import BAR, bar
from tenuto.cli.live import LiveProgress
from tenuto.cli.progress import PlainProgress, Silent, make_progress

from .conftest import Tenuto


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, LiveProgress),
        (Terminal(), {"TERM": "dumb"}, PlainProgress),
        (Terminal(), {"TERM": "xterm", "CI": "true"}, PlainProgress),
        (io.StringIO(), {"TERM": "xterm"}, PlainProgress),
    ],
)
def test_a_live_tree_is_for_terminals_only(stream: io.StringIO, variables: dict[str, str], kind: type) -> None:
    assert isinstance(make_progress(stream, variables, quiet=False), kind)
    assert isinstance(make_progress(stream, variables, quiet=True), Silent)


TALK = 'tenuto: 1\nsteps: { talk: { prompt: "hi", model: "mock:" } }\n'


def on_terminal(project: Path, variables: dict[str, str], plan: str = TALK) -> tuple[str, str]:
    """Run the plan with a terminal as stderr; what stdout and the terminal got."""
    (project / "talk.plan.yaml").write_text(plan)
    master, slave = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-m", "tenuto", "run", "talk.plan.yaml", "--run", "one"],
        cwd=project,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "100"} | variables,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # the other end is closed: that is how Linux says so
            break
        if not data:
            break
        seen += data
    os.close(master)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return out, seen.decode()


def test_the_terminal_shows_the_tree_and_stdout_the_data(project: Path) -> None:
    out, seen = on_terminal(project, {})
    assert out.splitlines()[0] == "run one"
    assert "\x1b" not in out
    assert "✓ talk" in seen
    assert "\x1b[32m" in seen


def test_a_small_terminal_keeps_the_budget_in_view_and_tells_who_waits(project: Path) -> None:
    keys = ", ".join(f"'{n:02}'" for n in range(30))
    talk = f'foreach: [{keys}], prompt: "hi", model: "mock:?latency_ms=100..100"'
    plan = f"tenuto: 1\nbudget: {{ tokens: 99999999 }}\nsteps: {{ talk: {{ {talk} }} }}\n"
    _, seen = on_terminal(project, {"LINES": "12", "COLUMNS": "60", "TENUTO_MAX_PARALLEL": "2"}, plan)
    frames = seen.split("31 steps, ")
    assert len(frames) > 2
    assert all("of 99,999,9" in after or "spent, " in after for after in frames[1:])
    assert "queued" in seen
    assert all(" s" not in line for line in seen.splitlines() if "queued" in line)
    assert max(frame.count("talk[") for frame in frames) <= 9
    assert "mock:" not in seen


def test_no_color_is_respected(project: Path) -> None:
    _, seen = on_terminal(project, {"NO_COLOR": "1"})
    assert "✓ talk" in seen
    assert "\x1b[32m" not in seen


@pytest.mark.parametrize(("spent", "reserved", "cap"), [(0, 0, 10), (5, 5, 10), (12, 3, 10), (1, 0, 0), (10, 10, 10)])
def test_a_bar_is_always_as_wide(spent: int, reserved: int, cap: int) -> None:
    assert len(bar(spent, reserved, cap)) == BAR


def test_lines_tell_that_a_call_is_made_again(tenuto: Callable[..., Any], project: Path) -> None:
    step = '{ prompt: "hi", model: "mock:?fail=1&kinds=timeout", retry: { tries: 3, backoff: 1ms } }'
    (project / "bad.plan.yaml").write_text(
        f"tenuto: 1\nsteps: {{ bad: {step}, after: {{ needs: [bad], run: x }} }}\n"
    )
    said = tenuto("run", "bad.plan.yaml", "--no-sandbox")
    assert said.code == 1
    retries = [line.split("s  ", 1)[1] for line in said.err.splitlines() if "retry" in line]
    assert [line.partition(" in ")[0] for line in retries] == [
        "retry      bad: timeout, try 2 of 3",
        "retry      bad: timeout, try 3 of 3",
    ]


class Slow(BaseHTTPRequestHandler):
    """Streams the beginning of an answer where a stream is asked for, and the rest after a while."""

    asked: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        self.send_response(200)
        self.end_headers()
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if not body.get("stream"):
            self.wfile.write(json.dumps({"choices": [{**choice, "message": {"content": "at once"}}]}).encode())
            return
        for delta, pause, finish in (("Let me think", 0.8, None), (" ... yes.", 0.0, "stop")):
            chunk = {"choices": [{"index": 0, "delta": {"content": delta}, "finish_reason": finish}]}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.flush()
            time.sleep(pause)

    def log_message(self, format: str, *arguments: Any) -> None: ...


def test_an_answer_is_shown_on_its_way_and_streamed_for_a_terminal_only(project: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = {"OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}/v1"}
        plan = TALK.replace("mock:", "openai:m")
        _, seen = on_terminal(project, url, plan)
        assert "Let me think" in seen
        assert Slow.asked[-1]["stream"] is True
        done = subprocess.run(
            [sys.executable, "-m", "tenuto", "run", "talk.plan.yaml", "--run", "two"],
            cwd=project,
            env=os.environ | url,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0
        assert "stream" not in Slow.asked[-1]
        server.shutdown()


def test_lines_tell_that_a_provider_is_let_rest(tenuto: Callable[..., Any], project: Path) -> None:
    step = '{ prompt: "hi", model: "mock:?fail=1&kinds=server", retry: { tries: 3, backoff: 1ms } }'
    (project / "bad.plan.yaml").write_text(f"tenuto: 1\nsteps: {{ bad: {step} }}\n")
    (project / "tenuto.toml").write_text("providers.mock = { failures_max = 2 }\n")
    said = tenuto("run", "bad.plan.yaml")
    assert said.code == 1
    resting = [line.split("s  ", 1)[1] for line in said.err.splitlines() if "resting" in line]
    assert resting == [
        "resting    mock: 2 failures in a row, asked again in 1 s",
        "resting    mock: 3 failures in a row, asked again in 2 s",
    ]


FAILING = """\
tenuto: 1
steps:
  tried: { run: "exit 1", on_error: continue }
  all:
    needs: [tried]
    foreach: [a, b]
    key: ${{ item }}
    max_parallel: 1
    plan: inner.plan.yaml
  last: { needs: [all], run: "true" }
"""


@pytest.mark.sandbox
def test_what_is_cancelled_names_the_step_that_failed_its_own_plan(project: Path, tenuto: Tenuto) -> None:
    (project / "inner.plan.yaml").write_text(
        'tenuto: 1\nsteps: { first: { run: "exit 2" }, then: { needs: [first], run: "true" } }\n'
    )
    (project / "failing.plan.yaml").write_text(FAILING)
    said = tenuto("run", "failing.plan.yaml", "--run", "one")
    assert said.code == 1
    assert "cancelled  all[a]/then, because all[a]/first failed" in said.err
    assert "cancelled  last, because all failed" in said.err
