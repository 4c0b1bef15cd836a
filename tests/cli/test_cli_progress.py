"""What is shown while a run goes on: a live tree on a terminal, lines elsewhere, data apart from both."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tenuto.cli.live import LiveProgress
from tenuto.cli.picture import BAR, bar
from tenuto.cli.progress import PlainProgress, Silent, make_progress


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


def on_terminal(project: Path, variables: dict[str, str]) -> tuple[str, str]:
    """Run the plan with a terminal as stderr; what stdout and the terminal got."""
    (project / "talk.plan.yaml").write_text('tenuto: 1\nsteps: { talk: { prompt: "hi", model: "mock:" } }\n')
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
    assert "mock:" in seen
    assert "\x1b[32m" in seen


def test_no_color_is_respected(project: Path) -> None:
    _, seen = on_terminal(project, {"NO_COLOR": "1"})
    assert "✓ talk" in seen
    assert "\x1b[32m" not in seen


@pytest.mark.parametrize(("spent", "reserved", "cap"), [(0, 0, 10), (5, 5, 10), (12, 3, 10), (1, 0, 0), (10, 10, 10)])
def test_a_bar_is_always_as_wide(spent: int, reserved: int, cap: int) -> None:
    assert len(bar(spent, reserved, cap)) == BAR
