"""What people get wrong: one line with place and remedy, the documented exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]

GOOD = 'tenuto: 1\nsteps:\n  a: { prompt: "hi", model: "mock:" }\n'

BAD_PLANS = {
    "an unknown key": (GOOD + "budgett: {}\n", "budgett"),
    "an unknown key of a step": ('tenuto: 1\nsteps: { a: { promt: "hi" } }\n', "promt"),
    "a cycle": ("tenuto: 1\nsteps:\n  a: { needs: [b], run: x }\n  b: { needs: [a], run: x }\n", "circle"),
    "a missing step": ("tenuto: 1\nsteps: { a: { needs: [zz], run: x } }\n", "zz"),
    "a missing agent": ('tenuto: 1\nsteps: { a: { agent: nobody, prompt: "x" } }\n', "nobody"),
    "a missing file of agents": (GOOD + "agents: [agents/none.md]\n", "agents/none.md"),
    "a missing prompt": ("tenuto: 1\nsteps: { a: { prompt: prompts/none.md } }\n", "prompts/none.md"),
    "a wrong type": ("tenuto: 1\nsteps: { a: { run: 7 } }\n", "text"),
    "duplicate keys": (GOOD + "name: x\nname: y\n", "name"),
    "an alias": ("tenuto: 1\nname: &a x\ndescription: *a\nsteps: { a: { run: x } }\n", "anchor"),
    "a tag that makes objects": ("tenuto: 1\nname: !!python/object:os.system x\nsteps: {}\n", "tag"),
    "no YAML": ("tenuto: 1\nsteps: [\n", ""),
    "a list": ("- 1\n", "object"),
    "nothing": ("", ""),
    "an unknown input": ('tenuto: 1\nsteps: { a: { prompt: "${{ inputs.nope }}" } }\n', "nope"),
    "an unknown model": (GOOD.replace("mock:", "nowhere:"), "nowhere"),
    "a missing module": ("tenuto: 1\nsteps: { a: { uses: 'python:not_there:f' } }\n", "not_there"),
}


@pytest.mark.parametrize("name", BAD_PLANS)
def test_a_bad_plan_is_refused_with_its_place_and_starts_nothing(name: str, tenuto: Tenuto, project: Path) -> None:
    text, word = BAD_PLANS[name]
    (project / "bad.plan.yaml").write_text(text)
    said = tenuto("run", "bad.plan.yaml")
    assert said.code == 2
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines
    assert all(line.startswith("tenuto: ") and "; " in line for line in lines), lines
    assert word in said.err
    assert not (project / ".tenuto" / "journal.db").exists()
    error = tenuto("run", "bad.plan.yaml", "--json").object["error"]
    assert set(error) >= {"code", "what", "where", "fix"}


@pytest.mark.parametrize("name", BAD_PLANS)
def test_check_finds_it_with_file_line_and_column(name: str, tenuto: Tenuto, project: Path) -> None:
    text, word = BAD_PLANS[name]
    (project / "bad.plan.yaml").write_text(text)
    said = tenuto("check", "bad.plan.yaml")
    assert said.code == 2
    assert word in said.err
    assert "bad.plan.yaml:" in said.err


def test_check_shows_all_problems_at_once(tenuto: Tenuto, project: Path) -> None:
    (project / "bad.plan.yaml").write_text(
        'tenuto: 1\nsteps:\n  a: { uses: "python:not_there:f" }\n  b: { prompt: "x", model: "nowhere:" }\n'
    )
    said = tenuto("check", "bad.plan.yaml")
    assert "bad.plan.yaml:3:" in said.err
    assert "bad.plan.yaml:4:" in said.err
    error = tenuto("check", "bad.plan.yaml", "--json").object["error"]
    assert len(error["others"]) == 1


USAGE = {
    "no verb": (["rnu"], "did you mean run"),
    "no plan": (["run"], "PLAN"),
    "an unknown flag": (["run", "greet.plan.yaml", "--nope"], "--nope"),
    "a flag's value": (["run", "greet.plan.yaml", "--max-parallel", "0"], "--max-parallel"),
    "a plan that is not there": (["run", "none.plan.yaml"], "none.plan.yaml"),
    "a plan that is a directory": (["run", "."], "is a directory; name a *.plan.yaml file in it"),
    "a repository that is not there": (["run", "greet.plan.yaml", "--repo", "none"], "none"),
    "a repository that is a file": (["run", "greet.plan.yaml", "--repo", "readme.txt"], "readme.txt"),
    "an input without value": (["run", "greet.plan.yaml", "--input", "who"], "NAME=VALUE"),
    "an input twice": (["run", "greet.plan.yaml", "--input", "who=a", "--input", "who=b"], "twice"),
    "an unknown input": (["run", "greet.plan.yaml", "--input", "whom=a"], "did you mean who"),
    "an id that is none": (["run", "greet.plan.yaml", "--run", "../x"], "cannot be a run's id"),
    "a store of another kind": (["ls", "--store", "s3://bucket"], "s3://bucket"),
    "no store": (["ls"], "there is no store"),
    "a run in no store": (["show", "x"], "there is no store"),
    "a result without done": (["resolve", "x", "c", "--not-done", "--result", "f"], "--result"),
    "no answer": (["resolve", "x", "c"], "--done or --not-done"),
    "an amount of nothing known": (["resume", "x", "--add-budget", "euros=1"], "euros"),
    "an amount that is none": (["resume", "x", "--add-budget", "tokens=many"], "tokens=many"),
    "a negative amount": (
        ["resume", "x", "--add-budget", "tokens=-5"],
        "a budget is added to, never taken from; give",
    ),
    "an input with NUL": (["run", "greet.plan.yaml", "--input", "who=a\x00b"], "NUL is not allowed"),
    "an unknown schema": (["schema", "plans"], "did you mean plan"),
}


@pytest.mark.parametrize("name", USAGE)
def test_a_wrong_command_line_is_one_line(name: str, tenuto: Tenuto) -> None:
    arguments, words = USAGE[name]
    said = tenuto(*arguments)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert words in line
    as_json = tenuto(*arguments, "--json")
    assert (as_json.code, as_json.err) == (2, "")
    assert as_json.object["error"]["what"]


WHERE = {
    "rnu": ["rnu"],
    "PLAN": ["run"],
    "--nope": ["run", "greet.plan.yaml", "--nope"],
    "--max-parallel": ["run", "greet.plan.yaml", "--max-parallel", "x"],
    "other.plan.yaml": ["run", "greet.plan.yaml", "other.plan.yaml"],
    "--add-budget tokens=-5": ["resume", "x", "--add-budget", "tokens=-5"],
}


@pytest.mark.parametrize("where", WHERE)
def test_a_wrong_command_line_says_which_part_of_it_is(where: str, tenuto: Tenuto) -> None:
    assert tenuto(*WHERE[where], "--json").object["error"]["where"] == where


def test_of_a_link_that_leads_nowhere_it_is_said_where_it_leads(tenuto: Tenuto, project: Path) -> None:
    (project / "lost.plan.yaml").symlink_to("none.plan.yaml")
    assert "lost.plan.yaml: is a link to none.plan.yaml, which is not there; " in tenuto("run", "lost.plan.yaml").err
    (project / "loop").symlink_to("loop")
    said = tenuto("run", "greet.plan.yaml", "--repo", "loop")
    assert "the repository is a link that leads back to itself" in said.err
    (project / "prompted.plan.yaml").write_text("tenuto: 1\nsteps: { a: { prompt: lost.md } }\n")
    (project / "lost.md").symlink_to("../gone.md")
    assert "lost.md is a link to ../gone.md, which is not there" in tenuto("check", "prompted.plan.yaml").err


def test_a_sub_plan_without_agents_is_told_to_name_them(tenuto: Tenuto, project: Path) -> None:
    (project / "agents").mkdir()
    (project / "agents" / "scout.md").write_text("---\nname: scout\ndescription: looks\n---\nYou look.\n")
    (project / "inner.plan.yaml").write_text("tenuto: 1\nsteps: { look: { prompt: look, agent: scout } }\n")
    (project / "outer.plan.yaml").write_text(
        "tenuto: 1\nagents: [agents/*.md]\nsteps: { all: { plan: inner.plan.yaml } }\n"
    )
    (line,) = tenuto("check", "outer.plan.yaml").err.splitlines()
    assert "inner.plan.yaml:2:" in line
    assert "there is no agent scout; this plan names no agents: add `agents: [agents/*.md]` to it" in line


def test_who_answers_late_hears_how_it_was_answered(tenuto: Tenuto, project: Path) -> None:
    (project / "ask.plan.yaml").write_text(
        'tenuto: 1\nsteps:\n  a: { approval: { ask: "ok?", expires: 300ms } }\n  b: { approval: { ask: "ok?" } }\n'
    )
    for run in ("one", "two"):
        assert tenuto("run", "ask.plan.yaml", "--run", run).code == 4
    assert tenuto("approve", "one", "a/1/0").code == 0
    time.sleep(0.4)
    assert "the call a/1/0 was approved before by " in tenuto("reject", "one", "a/1/0").err
    assert "the time to answer a/1/0 is over" in tenuto("reject", "two", "a/1/0").err
    for run, words in (("one", "the call a/1/0 was approved before"), ("two", "nobody answered a/1/0 in time")):
        tenuto("resume", run)
        said = tenuto("reject", run, "a/1/0")
        assert (said.code, words in said.err) == (2, True)


def test_runs_are_found_by_beginnings_and_unknown_ones_are_named(tenuto: Tenuto) -> None:
    for run in ("alpha", "alps"):
        assert tenuto("run", "greet.plan.yaml", "--run", run, "--no-sandbox").code == 0
    assert tenuto("show", "alph", "--json").object["run"] == "alpha"
    assert tenuto("show", "@last", "--json").object["run"] == "alps"
    assert "2 runs begin with al: alpha, alps" in tenuto("show", "al").err
    assert "there is no run beta" in tenuto("show", "beta").err
    assert "exists already" in tenuto("run", "greet.plan.yaml", "--run", "alpha").err
    assert tenuto("resume", "alpha").code == 2
    assert tenuto("cancel", "alpha").code == 2
    assert tenuto("resolve", "alpha", "x/1/0", "--done").code == 2


def test_without_a_sandbox_runs_are_refused_until_that_is_waived(
    tenuto: Tenuto, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    from tenuto.adapters.sandboxes import finding
    from tenuto.errors import SandboxUnavailableError

    async def none_works(name: str) -> Any:
        raise SandboxUnavailableError(f"{name} does not work")

    monkeypatch.setattr(finding, "_working", none_works)
    said = tenuto("run", "greet.plan.yaml", "--run", "one", "--json")
    assert said.code == 2
    assert said.object["error"]["code"] == "no_sandbox"
    assert "--no-sandbox" in said.object["error"]["fix"]
    (project / "talk.plan.yaml").write_text(GOOD)
    assert tenuto("run", "talk.plan.yaml").code == 0
    assert tenuto("run", "greet.plan.yaml", "--run", "one", "--no-sandbox").code == 0
    assert "sandbox none" in " ".join(tenuto("show", "one").out.split())


def test_odd_files_in_the_repository_are_taken_or_refused_by_name(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(GOOD)
    (project / "loop").symlink_to("loop")
    (project / "binary").write_bytes(bytes(range(256)) * 400)
    (project / "name with\nnewline").write_text("x")
    assert tenuto("run", "talk.plan.yaml", "--run", "one").code == 0
    assert tenuto("verify", "one").code == 0
    os.mkfifo(project / "pipe")
    said = tenuto("run", "talk.plan.yaml")
    assert said.code == 2
    assert "pipe" in said.err


def test_an_unreadable_file_is_named(tenuto: Tenuto, project: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (project / "talk.plan.yaml").write_text(GOOD)
    (project / "secret").write_text("x")
    (project / "secret").chmod(0)
    said = tenuto("run", "talk.plan.yaml")
    assert said.code == 2
    assert "secret" in said.err


def test_a_newer_store_is_left_alone(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(GOOD)
    tenuto("run", "talk.plan.yaml", "--run", "one")
    path = project / ".tenuto" / "journal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    for arguments in (["show", "one"], ["ls"], ["run", "talk.plan.yaml"], ["resume", "one"]):
        said = tenuto(*arguments)
        assert said.code == 7, arguments
        assert "newer" in said.err
    findings = {f["name"]: f for f in tenuto("doctor", "--json").object["findings"]}
    assert "newer" in findings["store"]["what"]
    assert tenuto("doctor").code == 1


def test_a_damaged_store_is_named_and_not_repaired(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(GOOD)
    tenuto("run", "talk.plan.yaml", "--run", "one")
    path = project / ".tenuto" / "journal.db"
    copy = project / "copy"
    for file in (path, path.with_name("journal.db-wal")):
        if file.exists():
            shutil.copy(file, copy)
            file.write_bytes(b"\xff" * file.stat().st_size)
    said = tenuto("verify", "one", "--json")
    assert said.code == 7
    assert str(path) in said.object["error"]["where"]
    assert path.read_bytes()[:8] == b"\xff" * 8


def test_a_changed_record_is_found(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(GOOD)
    tenuto("run", "talk.plan.yaml", "--run", "one")
    path = project / ".tenuto" / "journal.db"
    connection = sqlite3.connect(path)
    changed = 0
    for table, column in _blob_columns(connection):
        changed += connection.execute(
            f"UPDATE {table} SET {column} = CAST(replace(CAST({column} AS TEXT), 'StepCompleted', 'StepCompletes')"
            f" AS BLOB) WHERE instr(CAST({column} AS TEXT), 'StepCompleted')"
        ).rowcount
    connection.commit()
    connection.close()
    assert changed
    for verb in ("verify", "replay", "show"):
        said = tenuto(verb, "one")
        assert said.code == 7, verb
        assert "run one, record" in said.err
    (run,) = tenuto("ls", "--json").object["runs"]
    assert run["run"] == "one"


def _blob_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return [
        (table, row[1])
        for table in tables
        for row in connection.execute(f"PRAGMA table_info({table})")
        if row[2].upper() == "BLOB"
    ]


def test_an_unexpected_error_is_one_line_and_a_traceback_when_asked_for(
    tenuto: Tenuto, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenuto.adapters.plans import schema

    def broken(name: str) -> Any:
        raise RuntimeError("surprise\nin two lines")

    monkeypatch.setattr(schema, "schema", broken)
    said = tenuto("schema", "plan")
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert "internal error: RuntimeError: surprise in two lines" in line
    assert "Traceback" in tenuto("schema", "plan", "-v").err
    assert tenuto("schema", "plan", "--json").object["error"]["code"] == "internal"


def test_terminal_codes_from_outside_are_shown_and_not_obeyed(tenuto: Tenuto, project: Path) -> None:
    plan = json.dumps({"tenuto": 1, "steps": {"a": {"run": "exit 1"}}, "description": "evil \x1b[2J"})
    (project / "evil.plan.yaml").write_text(plan)
    tenuto("run", "evil.plan.yaml", "--run", "one", "--no-sandbox")
    shown = tenuto("show", "one").out
    assert "\x1b" not in shown
    assert "evil" in shown


def test_an_emptied_store_is_not_taken_for_a_new_one(tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(GOOD)
    tenuto("run", "talk.plan.yaml", "--run", "one")
    for path in (project / ".tenuto").glob("journal.db*"):
        if path.name in ("journal.db", "journal.db-wal", "journal.db-shm"):
            path.unlink()
    (project / ".tenuto" / "journal.db").touch()
    said = tenuto("ls")
    assert (said.code, said.out) == (7, "")
    assert "records of runs were acknowledged here" in said.err


def test_the_service_of_openai_is_not_called_without_a_key(tenuto: Tenuto, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TENUTO_OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    said = tenuto("run", "greet.plan.yaml", "--model", "openai:gpt-5-mini", "--no-sandbox")
    assert (said.code, said.out) == (2, "")
    assert "OPENAI_API_KEY is not set; set it, or set OPENAI_BASE_URL for a compatible server" in said.err


def test_a_flag_before_its_verb_is_told_where_to_go(tenuto: Tenuto) -> None:
    said = tenuto("--json", "ls")
    assert said.code == 2
    assert said.object["error"]["where"] == "--json"
    assert "write it after the verb" in tenuto("--store", "x", "ls").err


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[NaN]", "NaN is not a number in JSON"),
        ("[" + "1" * 2000 + "]", "more than 1000 digits"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 300 + "]" * 300, "nested"),
        ("[1", "is no array"),
    ],
)
def test_inputs_that_json_cannot_hold_say_why(value: str, words: str, tenuto: Tenuto, project: Path) -> None:
    (project / "talk.plan.yaml").write_text(GOOD + "inputs: { many: { type: array } }\n")
    said = tenuto("run", "talk.plan.yaml", "--input", f"many={value}")
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert words in line
