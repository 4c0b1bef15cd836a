"""A run from the command line: started, looked at, proved, applied."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.sandbox

Tenuto = Callable[..., Any]


def test_a_run_says_its_id_first_and_the_next_commands_last(tenuto: Tenuto, project: Path) -> None:
    said = tenuto("run", "greet.plan.yaml")
    lines = said.out.splitlines()
    assert said.code == 0
    run = lines[0].removeprefix("run ")
    assert run.startswith("r-greet-")
    assert [line.strip() for line in lines[-3:]] == [f"tenuto {verb} {run}" for verb in ("apply", "show", "replay")]
    assert "completed  write" in said.err
    assert not (project / "hello.txt").exists()


def test_the_report_of_a_run_has_the_documented_shape(tenuto: Tenuto) -> None:
    report = tenuto("run", "greet.plan.yaml", "--run", "one", "--input", "who=you", "--json").object
    assert list(report)[:8] == [
        "run",
        "status",
        "exit",
        "result_digest",
        "journal_digest",
        "tree_digest",
        "outputs",
        "error",
    ]
    assert (report["run"], report["status"], report["exit"], report["grade"]) == ("one", "ok", 0, "exact")
    assert report["budget"]["limit"] == {"tokens": 100_000}
    assert set(report["budget"]) == {"limit", "reserved", "spent", "in_doubt"}
    assert [step["path"] for step in report["steps"]] == ["say", "write"]
    keys = {"path", "status", "agent", "attempts", "step_key", "output_digest", "tree_digest", "reused", "calls"}
    assert keys <= set(report["steps"][0])
    assert tenuto("show", "one", "--json").object == {**report, "imported": False, "owned": False}


def test_equal_seeds_give_equal_results_under_other_ids(tenuto: Tenuto) -> None:
    first = tenuto("run", "greet.plan.yaml", "--seed", "s", "--json").object
    second = tenuto("run", "greet.plan.yaml", "--seed", "s", "--json").object
    assert first["run"] != second["run"]
    assert first["result_digest"] == second["result_digest"]


def test_events_are_the_records_as_stored(tenuto: Tenuto) -> None:
    report = tenuto("run", "greet.plan.yaml", "--run", "one", "--json").object
    lines = tenuto("events", "one").out.splitlines()
    prev = "0" * 64
    for seq, line in enumerate(lines):
        record = json.loads(line)
        assert (record["seq"], record["prev"]) == (seq, prev)
        prev = hashlib.sha256(line.encode()).hexdigest()
    assert prev == report["journal_digest"]
    assert tenuto("events", "one", "--follow").out.splitlines() == lines


def test_replay_and_verify_name_the_journal(tenuto: Tenuto) -> None:
    digest = tenuto("run", "greet.plan.yaml", "--run", "one", "--json").object["journal_digest"]
    replayed = tenuto("replay", "one", "--json").object
    assert replayed["identical"] is True
    assert (replayed["journal_digest"], replayed["divergence"], replayed["unchecked"]) == (digest, None, [])
    verified = tenuto("verify", "@last", "--json").object
    assert (verified["journal_digest"], verified["status"]) == (digest, "ok")
    assert tenuto("verify", "one", "--head", digest).code == 0
    assert tenuto("verify", "one", "--head", "ab" * 32).code == 7


def test_replay_against_a_changed_prompt_stops_at_that_call(tenuto: Tenuto, project: Path, tmp_path: Path) -> None:
    tenuto("run", "greet.plan.yaml", "--run", "one")
    other = tmp_path / "other"
    other.mkdir()
    plan = (project / "greet.plan.yaml").read_text()
    (other / "greet.plan.yaml").write_text(plan)
    assert tenuto("replay", "one", "--against", other).code == 0
    (other / "greet.plan.yaml").write_text(plan.replace("Greet ", "greet "))
    said = tenuto("replay", "one", "--against", other, "--json")
    assert said.code == 5
    divergence = said.object["divergence"]
    assert divergence["call"] == "say/1/0"
    assert divergence["recorded"]["messages"][0]["text"] == "Greet world"
    assert divergence["current"]["messages"][0]["text"] == "greet world"
    shown = tenuto("replay", "one", "--against", other)
    assert '-      "text": "Greet world"' in shown.out.replace('  -      "text"', '-      "text"')
    assert shown.code == 5


def test_apply_brings_the_files_and_then_finds_nothing_to_do(tenuto: Tenuto, project: Path) -> None:
    tenuto("run", "greet.plan.yaml", "--run", "one")
    applied = tenuto("apply", "one", "--json").object
    assert (applied["status"], applied["changes"]) == ("applied", [{"path": "hello.txt", "change": "added"}])
    assert (project / "hello.txt").read_text() == "hello\n"
    assert "unchanged" in tenuto("apply", "one").out


def test_apply_shows_a_merge_before_it_touches_what_others_changed(tenuto: Tenuto, project: Path) -> None:
    tenuto("run", "greet.plan.yaml", "--run", "one")
    (project / "readme.txt").write_text("somebody's work\n")
    said = tenuto("apply", "one")
    assert said.code == 1
    assert "tenuto apply one --merge" in said.out
    assert not (project / "hello.txt").exists()
    assert tenuto("apply", "one", "--merge").code == 0
    assert (project / "hello.txt").exists()
    assert (project / "readme.txt").read_text() == "somebody's work\n"


def test_artifacts_carry_the_typed_result_of_a_tool(tenuto: Tenuto) -> None:
    tenuto("run", "greet.plan.yaml", "--run", "one")
    reply, result = tenuto("artifacts", "one", "--json").object["artifacts"]
    assert (reply["kind"], reply["call"], reply["model"]) == ("reply", "say/1/0", "mock:")
    assert (result["kind"], result["tool"]) == ("result", "run")
    assert result["result"]["artifact_id"] == result["digest"]
    assert result["result"]["producing_step"] == "write"
    assert result["result"]["status"] == "ok"
    body = tenuto("artifacts", "one", result["digest"][:10]).out.strip()
    assert hashlib.sha256(body.encode()).hexdigest() == result["digest"]
    assert json.loads(body)["exit_code"] == 0
    assert tenuto("artifacts", "one", "ffff").code == 2


def test_people_see_a_tree_of_steps_and_the_budget(tenuto: Tenuto) -> None:
    tenuto("run", "greet.plan.yaml", "--run", "one")
    shown = tenuto("show").out
    assert "one   ok" in shown
    assert "✓ say    completed" in shown
    assert "tenuto apply one" in shown
    assert "of 100,000" in tenuto("budget").out
    assert tenuto("budget", "one", "--json").object["limit"] == {"tokens": 100_000}
    (run,) = tenuto("ls", "--json").object["runs"]
    assert (run["run"], run["status"], run["plan"]) == ("one", "ok", "greet")
    assert "greet" in tenuto("ls").out


def test_the_store_keeps_itself_out_of_git_and_commands_name_it_where_needed(
    tenuto: Tenuto, project: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "elsewhere"
    repository.mkdir()
    said = tenuto("run", "greet.plan.yaml", "--repo", repository, "--run", "one")
    assert (repository / ".tenuto" / ".gitignore").read_text() == "*\n"
    command = said.out.splitlines()[-1].split()
    assert command[:3] == ["tenuto", "replay", "one"]
    assert tenuto(*command[1:]).code == 0
    assert tenuto("replay", "one").code == 2


def test_a_budget_that_is_used_up_says_what_is_missing(tenuto: Tenuto, project: Path) -> None:
    plan = (project / "greet.plan.yaml").read_text()
    (project / "tight.plan.yaml").write_text(plan.replace("tokens: 100000", "model_calls: 0"))
    said = tenuto("run", "tight.plan.yaml", "--run", "one")
    assert said.code == 3
    assert "model_calls: 0 of 0 spent" in said.out.replace("model calls", "model_calls")
    for wrong, words in (
        ("tokens=5", "the plan does not limit tokens; it limits model_calls"),
        ("time=5m", "the plan does not limit time; it limits model_calls"),
        ("model_calls=0", "this adds nothing"),
    ):
        refused = tenuto("resume", "one", "--add-budget", wrong)
        assert (refused.code, refused.out) == (2, "")
        assert words in refused.err
    assert "waits for budget" in tenuto("show", "one").out
    command = next(line for line in said.out.splitlines() if "--add-budget" in line).split()
    assert command[1:] == ["resume", "one", "--add-budget", "model_calls=1"]
    assert tenuto(*command[1:]).code == 0


def test_a_failed_run_is_not_applied_but_can_be_looked_at(tenuto: Tenuto, project: Path) -> None:
    (project / "bad.plan.yaml").write_text("tenuto: 1\nsteps: { a: { run: 'exit 3' } }\n")
    said = tenuto("run", "bad.plan.yaml", "--run", "one")
    assert said.code == 1
    refused = tenuto("apply", "one", "--json")
    assert (refused.code, refused.object["error"]["code"]) == (1, "refused")


def test_init_writes_a_plan_that_runs_and_overwrites_nothing(tenuto: Tenuto, project: Path) -> None:
    said = tenuto("init", "first")
    assert "tenuto run" in said.out
    plan = next((project / "first").glob("*.plan.yaml"))
    plan.write_text(plan.read_text() + "# mine\n")
    again = tenuto("init", "first", "--json").object
    assert again["written"] == []
    assert plan.read_text().endswith("# mine\n")
    assert tenuto("check", plan).code == 0
    assert tenuto("run", plan, "--repo", "first").code == 0


@pytest.mark.parametrize("template", ["team", "commands", "program"])
def test_the_test_that_init_writes_passes(tenuto: Tenuto, project: Path, template: str) -> None:
    assert template in tenuto("init", "--list", "--json").object["templates"]
    said = tenuto("init", "first", "--template", template)
    assert said.out.splitlines()[-1].startswith("  python -m pytest tests")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=project / "first", capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_template_is_refused(tenuto: Tenuto) -> None:
    said = tenuto("init", "first", "--template", "taem")
    assert (said.code, "did you mean team?" in said.err) == (2, True)


def test_check_lists_what_a_plan_resolves_to(tenuto: Tenuto) -> None:
    found = tenuto("check", "greet.plan.yaml", "--json").object
    assert (found["ok"], found["steps"]) == (True, ["say", "write"])
    assert "mock:" in [model["name"] for model in found["models"]]
    assert found["inputs"] == {"who": {"type": "string", "required": False}}


def test_schemas_are_json(tenuto: Tenuto) -> None:
    for what in ("plan", "agent"):
        assert json.loads(tenuto("schema", what).out)["type"] == "object"


def test_doctor_looks_at_everything_and_says_how_to_get_what_lacks(tenuto: Tenuto) -> None:
    said = tenuto("doctor", "--json")
    findings = {finding["name"]: finding for finding in said.object["findings"]}
    assert {"python", "sqlite", "store", "sandbox", "git", "local model"} <= set(findings)
    assert all(finding["ok"] or finding["fix"] for finding in findings.values())
    assert said.code == 0


def test_what_a_command_leaves_that_is_no_file_fails_its_step_and_not_the_engine(
    tenuto: Tenuto, project: Path
) -> None:
    (project / "odd.plan.yaml").write_text('tenuto: 1\nsteps:\n  odd: { run: "mkfifo pipe" }\n')
    said = tenuto("run", "odd.plan.yaml", "--run", "odd")
    assert said.code == 1
    assert "the files it left cannot be kept: pipe: is a named pipe" in said.out
    assert tenuto("replay", "odd").code == 0


CAPPED = """\
tenuto: 1
budget: { tokens: 100000 }
agents: { lister: { instructions: x, model: "mock:?tools=1", tools: [list_files] } }
steps: { each: { foreach: [x, y], agent: lister, prompt: "${{ item }}", budget: { tool_calls: 1 } } }
"""


@pytest.mark.parametrize(
    ("plan", "need"),
    [
        (CAPPED, "each[1]/1/1 needs tool calls: 1, which"),
        (
            "tenuto: 1\nbudget: { tokens: 100000 }\n"
            'steps: { a: { prompt: hi, model: "mock:", budget: { tokens: 10 } } }\n',
            "a/1/0 needs tokens: ",
        ),
    ],
)
def test_a_cap_inside_a_plan_is_told_and_no_budget_is_asked_for(
    tenuto: Tenuto, project: Path, plan: str, need: str
) -> None:
    (project / "capped.plan.yaml").write_text(plan)
    said = tenuto("run", "capped.plan.yaml", "--run", "capped")
    assert said.code == 3
    assert need in said.out
    assert "the budget of its step or the limits of its agent do not leave" in said.out
    assert "add-budget" not in said.out + said.err
