"""A run, a step and a call as people look at them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.sandbox

Tenuto = Callable[..., Any]

PRICED = "mock:x?tools=1&input_micros=1000000&output_micros=2000000"
PLAN = f"""\
tenuto: 1
name: work
agents: [agents/*.md]
steps:
  look: {{ agent: scout, prompt: "Look around, please", model: "{PRICED}" }}
  each: {{ foreach: [a, b], prompt: "Say ${{{{ item }}}}", model: "mock:plain" }}
  write:
    needs: [look]
    run: "echo hello > new.txt; echo more >> readme.txt"
  break:
    needs: [write]
    run: "echo gone > lost.txt; echo {"why it went wrong " * 8}>&2; exit 3"
    retry: {{ attempts: 2, backoff: 1ms }}
"""
SCOUT = "---\nname: scout\ndescription: Looks.\ntools: Glob\n---\nYou are a scout.\n"


@pytest.fixture
def work(project: Path, tenuto: Tenuto) -> str:
    (project / "agents").mkdir()
    (project / "agents" / "scout.md").write_text(SCOUT)
    (project / "work.plan.yaml").write_text(PLAN)
    assert tenuto("run", "work.plan.yaml", "--run", "one").code == 1
    return "one"


def test_the_tree_tells_what_each_step_took_and_where_errors_are(tenuto: Tenuto, work: str) -> None:
    shown = tenuto("show", work).out
    lines = {line.split()[1]: line for line in shown.splitlines() if line.strip()[:2] in ("✓ ", "✗ ")}

    def tokens(step: str) -> int:
        return sum(call["spent"].get("tokens", 0) for call in tenuto("show", work, step, "--json").object["calls"])

    assert f"{tokens('look'):,} tokens" in lines["look"]
    assert "mock:x?…" in lines["look"]
    assert "$" in lines["look"]
    assert "scout" in lines["look"]
    both = tokens("each[0]") + tokens("each[1]")
    assert f"{both:,} tokens" in lines["each"], "a step shows what its children took"
    assert "2 attempts" in lines["break"]
    place = 2 + (Path("work.plan.yaml").read_text().splitlines().index("  break:")) + 1
    assert f"at work.plan.yaml:{place}:5, call break/2/0" in shown
    assert f"  tenuto show {work} break" in shown
    assert "4 steps" in shown
    assert shown.count("command: exit code 3") == 1, "an error is told once"


def test_what_is_shown_keeps_to_the_width(tenuto: Tenuto, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    for part in ([], ["look"], ["break"], ["each"], ["look/1/2"]):
        lines = tenuto("show", work, *part).out.splitlines()
        assert len(max(lines, key=len)) <= 72, max(lines, key=len)


def test_a_step_has_its_prompts_replies_tool_calls_and_files(tenuto: Tenuto, work: str) -> None:
    found = tenuto("show", work, "look", "--json").object
    first, tool, last = found["calls"]
    assert [m["text"].strip() for m in first["messages"]] == ["You are a scout.", "Look around, please"]
    assert tool["name"] == first["tool_calls"][0]["name"]
    assert tool["arguments"] == first["tool_calls"][0]["arguments"]
    assert tool["result"]
    assert last["messages"] == [], "what the call before was given is not told again"
    assert last["text"] == found["output"]
    shown = tenuto("show", work, "look").out
    assert "│ Look around, please" in shown
    assert f"wants {tool['name']}" in shown

    changed = tenuto("show", work, "write", "--json").object["changed"]
    assert changed["files"] == [["new.txt", "added"], ["readme.txt", "changed"]]
    assert changed["kept"] is True
    assert "+more" in changed["patch"]
    assert "  +hello" in tenuto("show", work, "write").out.splitlines()


def test_what_a_failed_attempt_did_to_files_is_shown_as_taken_back(tenuto: Tenuto, work: str) -> None:
    found = tenuto("show", work, "break", "--json").object
    assert [call["status"] for call in found["calls"]] == ["error", "error"]
    assert found["changed"]["kept"] is False
    assert found["changed"]["files"] == [["lost.txt", "added"]]
    shown = tenuto("show", work, "break").out
    assert "taken back" in shown
    assert "attempt 1" in shown


def test_a_call_has_the_whole_conversation(tenuto: Tenuto, work: str) -> None:
    call = tenuto("show", work, "look/1/2", "--json").object["call"]
    assert [message["role"] for message in call["messages"]] == ["system", "user", "assistant", "tool"]
    assert call["config"]["model"] == PRICED
    shown = tenuto("show", work, f"{work}/look/1/2").out
    assert "temperature 0, top_p 1" in shown
    assert f"tool ({call['messages'][3]['tool_name']})" in shown


def test_unknown_parts_are_refused_with_the_nearest(tenuto: Tenuto, work: str) -> None:
    said = tenuto("show", work, "lok")
    assert said.code == 2
    assert "did you mean look?" in said.err


def test_a_terminal_gets_colours_and_its_width(project: Path, work: str) -> None:
    def on_terminal(**variables: str) -> str:
        master, slave = pty.openpty()
        environment = {n: v for n, v in os.environ.items() if n not in ("NO_COLOR", "COLUMNS")}
        child = subprocess.Popen(
            [sys.executable, "-m", "tenuto", "show", work, "break"],
            cwd=project,
            env=environment | {"TERM": "xterm"} | variables,
            stdout=slave,
        )
        os.close(slave)
        seen = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # the other end is closed: that is how Linux says so
                break
            seen += data
        os.close(master)
        assert child.wait(timeout=60) == 0
        return seen.decode()

    assert "\x1b[31mfailed\x1b[0m" in on_terminal()
    plain = on_terminal(NO_COLOR="1", COLUMNS="64")
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 64


def test_a_failed_run_names_the_innermost_step_that_failed(tenuto: Tenuto, project: Path) -> None:
    (project / "many.plan.yaml").write_text('tenuto: 1\nsteps: { a: { foreach: [x, y], run: "exit 3" } }\n')
    said = tenuto("run", "many.plan.yaml", "--run", "many")
    assert said.out.splitlines()[-2:] == ["  tenuto show many", "  tenuto show many 'a[0]'"]
    assert "exit code 3" in tenuto("show", "many", "a[0]").out
    assert "  tenuto show many 'a[0]'" in tenuto("show", "many").out.splitlines()
