"""People answer runs that no process drives: in any order, across restarts and kills, in time, and after a pause."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.testing.outside import CommandLine

SIX = """\
tenuto: 1
name: six
steps:
  before: { run: "echo x >> marks.txt; wc -l < marks.txt" }
  ask:
    needs: [before]
    foreach: [a, b, c, d]
    key: ${{ item }}
    approval: { ask: "Take ${{ item }}?" }
    with: { item: "${{ item }}" }
    on_error: continue
  more:
    needs: [before]
    plan: asks.plan.yaml
  after:
    needs: [ask, more]
    run: "cat marks.txt"
outputs:
  asked: "${{ steps.ask.output }}"
  more: "${{ steps.more.output }}"
  marks: "${{ steps.after.output.stdout }}"
"""
ASKS = """\
tenuto: 1
steps:
  e: { approval: { ask: "Take e?" } }
  f: { approval: { ask: "Take f?", expires: 24h } }
outputs: { e: "${{ steps.e.output.note }}", f: "${{ steps.f.output.note }}" }
"""
CALLS = ("ask[a]/1/0", "ask[b]/1/0", "ask[c]/1/0", "ask[d]/1/0", "more/e/1/0", "more/f/1/0")


def kill(tenuto: CommandLine, *words: str, after_s: float) -> None:
    process = tenuto.start(*words)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def wait_for(tenuto: CommandLine, engine: subprocess.Popen[str], kind: str) -> None:
    """Wait until the run holds such a record."""
    while kind not in tenuto.call("events", "r").stdout:
        assert engine.poll() is None, "it ended too early"
        time.sleep(0.05)


def test_six_approvals_reach_their_own_calls(
    project: Path, tenuto: CommandLine, figure: Callable[[str], None]
) -> None:
    (project / "six.plan.yaml").write_text(SIX)
    (project / "asks.plan.yaml").write_text(ASKS)
    waiting = tenuto.call("run", "six.plan.yaml", "--run", "r")
    assert (waiting.exit, waiting.data["status"]) == (4, "waiting"), waiting
    for number, call in enumerate((CALLS[5], CALLS[2], CALLS[0])):
        verb = "reject" if call == CALLS[2] else "approve"
        answered = tenuto.call(verb, "r", call, "--note", f"for {call}")
        assert answered.exit == 0, answered
        if number == 0:
            assert tenuto.call("resume", "r").exit == 4
        if number == 1:
            kill(tenuto, "resume", "r", after_s=0.3)
    again = tenuto.call("approve", "r", CALLS[0])
    assert again.exit == 2, "the first answer for a call wins"
    for call in (CALLS[4], CALLS[1]):
        assert tenuto.call("approve", "r", call, "--note", f"for {call}").exit == 0
    kill(tenuto, "resume", "r", after_s=0.4)
    assert tenuto.call("resume", "r").exit == 4
    assert tenuto.call("approve", "r", CALLS[3], "--note", f"for {CALLS[3]}").exit == 0
    ended = tenuto.call("resume", "r")
    assert (ended.exit, ended.data["status"]) == (0, "ok"), ended
    outputs = ended.data["outputs"]
    assert [None if o is None else (o["note"], o["details"]["item"]) for o in outputs["asked"]] == [
        ("for ask[a]/1/0", "a"),
        ("for ask[b]/1/0", "b"),
        None,
        ("for ask[d]/1/0", "d"),
    ]
    assert outputs["more"] == {"e": "for more/e/1/0", "f": "for more/f/1/0"}
    assert outputs["marks"] == "x\n", "no step was run again"
    kinds = [record["kind"] for record in tenuto.records("r")]
    assert (kinds.count("ApprovalRequested"), kinds.count("ApprovalAnswered")) == (6, 6)
    assert kinds.count("StepStarted") == 9
    assert tenuto.call("replay", "r").data["identical"]
    resumed = kinds.count("RunResumed")
    figure(f"six approvals, answered out of order over {resumed} resumes and 2 kills: each at its own call")


LATE = """\
tenuto: 1
steps:
  ok: { approval: { ask: "Go?", expires: 15s } }
  late: { approval: { ask: "Go?", expires: 15s }, on_error: continue }
  last: { needs: [ok, late], if: 'steps.late.error.kind == "expired"', run: "true" }
"""


@pytest.mark.battery
def test_an_answer_in_time_holds_though_the_resume_comes_late(project: Path, tenuto: CommandLine) -> None:
    (project / "p.plan.yaml").write_text(LATE)
    assert tenuto.call("run", "p.plan.yaml", "--run", "r").exit == 4
    asked = time.monotonic()
    note = "🙂 \udcff " + "n" * 64_000
    assert tenuto.call("approve", "r", "ok/1/0", "--note", note).exit == 0
    time.sleep(max(0.0, 16.0 - (time.monotonic() - asked)))
    ended = tenuto.call("resume", "r")
    assert (ended.exit, ended.data["status"]) == (0, "ok"), ended
    answer = next(record["data"] for record in tenuto.records("r") if record["kind"] == "ApprovalAnswered")
    assert answer["note"] == "🙂 \ufffd " + "n" * 3_996
    assert {s["path"]: s["status"] for s in ended.data["steps"]} == {
        "ok": "completed",
        "late": "failed",
        "last": "completed",
    }
    assert tenuto.call("replay", "r").data["identical"]


@pytest.mark.battery
def test_a_pause_by_another_process_lets_calls_end_and_starts_none(project: Path, tenuto: CommandLine) -> None:
    (project / "p.plan.yaml").write_text(
        "tenuto: 1\nsteps:\n  slow: { run: 'sleep 8; echo done' }\n  next: { needs: [slow], run: 'echo next' }\n"
    )
    whole = tenuto.call("run", "p.plan.yaml", "--run", "whole", "--seed", "s")
    engine = tenuto.start("run", "p.plan.yaml", "--run", "r", "--seed", "s")
    wait_for(tenuto, engine, "ToolCallRequested")
    assert tenuto.call("pause", "r").exit == 0
    paused = tenuto.finish(engine)
    assert (paused.exit, paused.data["status"]) == (4, "paused"), paused
    kinds = [record["kind"] for record in tenuto.records("r")]
    assert kinds.count("ToolCallRequested") == 1
    assert "ToolReturned" in kinds[kinds.index("RunPaused") :]
    ended = tenuto.call("resume", "r")
    assert (ended.exit, ended.data["result_digest"]) == (0, whole.data["result_digest"]), ended
    assert tenuto.call("replay", "r").data["identical"]


@pytest.mark.battery
def test_a_run_that_nobody_drives_is_cancelled_without_a_further_call(project: Path, tenuto: CommandLine) -> None:
    (project / "p.plan.yaml").write_text(
        "tenuto: 1\nsteps:\n  slow: { run: 'sleep 8; echo done' }\n  next: { needs: [slow], run: 'echo next' }\n"
    )
    engine = tenuto.start("run", "p.plan.yaml", "--run", "r")
    wait_for(tenuto, engine, "ToolCallRequested")
    assert tenuto.call("pause", "r").exit == 0
    assert tenuto.finish(engine).data["status"] == "paused"
    cancelled = tenuto.call("cancel", "r", "--reason", "no more")
    kinds = [record["kind"] for record in tenuto.records("r")]
    assert kinds[kinds.index("RunPaused") :][-1] == "RunEnded", cancelled
    assert kinds.count("ToolCallRequested") == 1, "what was never asked is in no ledger"
    assert tenuto.call("replay", "r").data["identical"]


WRITING = """\
tenuto: 1
defaults: { model: "scripted:answers.yaml" }
steps:
  draft: { prompt: "Write a plan." }
  do: { needs: [draft], plan: "${{ steps.draft.output }}", tools: [run] }
outputs: { do: "${{ steps.do.output }}" }
"""
WRITTEN = """\
tenuto: 1
steps:
  one: { run: "sleep 6; echo one >> made.txt" }
  two: { needs: [one], run: "cat made.txt" }
outputs: { made: "${{ steps.two.output.stdout }}" }
"""


@pytest.mark.battery
def test_a_plan_that_a_model_wrote_is_killed_resumed_and_replayed(project: Path, tenuto: CommandLine) -> None:
    (project / "writing.plan.yaml").write_text(WRITING)
    (project / "answers.yaml").write_text(json.dumps(script(WRITTEN)))
    engine = tenuto.start("run", "writing.plan.yaml", "--run", "r")
    wait_for(tenuto, engine, "ToolCallRequested")
    engine.send_signal(signal.SIGKILL)
    engine.communicate()
    ended = tenuto.call("resume", "r")
    assert (ended.exit, ended.data["outputs"]) == (0, {"do": {"made": "one\n"}}), ended
    assert "do/two" in {step["path"] for step in ended.data["steps"]}
    assert tenuto.call("replay", "r").data["identical"]


def script(text: str) -> Any:
    return [{"text": text}]
