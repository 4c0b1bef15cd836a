"""One thing of a directory differs from what was recorded: replay against it stops at the first call it reaches.

Where it must stop is not asked of the replay: each row says what the first affected record looks like, and that is
looked for in the journal itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tenuto.adapters.models.mock import LocalMockAdapter
from tenuto.cli.program import run_program
from tenuto.core.models import ModelProfile, Price

Record = dict[str, Any]
Found = Callable[[Record], bool]
TABLE = Path(__file__).parent / "table"
PLAN = "team.plan.yaml"


def give(*words: str | Path) -> tuple[int, str]:
    """A command in this process: its exit code and what it printed."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.raises(SystemExit) as ended:
        run_program([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    out.seek(0)
    return ended.value.code, out.read()


class Recorded(NamedTuple):
    store: Path
    records: list[Record]

    def first(self, found: Found) -> Record:
        return next(record for record in self.records if found(record))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("table")
        shutil.copytree(TABLE, home / "project", ignore=shutil.ignore_patterns("__pycache__"))
        patch.setenv("XDG_CONFIG_HOME", str(home))
        patch.chdir(home / "project")
        store = home / "store"
        ran, said = give("run", PLAN, "--run", "r", "--seed", "s", "--no-sandbox", "--store", store)
        assert ran == 4, said
        assert give("approve", "r", "agree/1/0", "--store", store)[0] == 0
        ran, said = give("resume", "r", "--store", store)
        assert ran == 0, said
        _, said = give("events", "r", "--json", "--store", store)
        yield Recorded(store, [json.loads(line) for line in said.splitlines()])


def model(step: str = "", **more: Any) -> Found:
    """The first model call of a step, with these parameters."""

    def found(record: Record) -> bool:
        data = record["data"]
        right = record["kind"] == "ModelCallRequested" and data["call"].startswith(step)
        return right and all(data.get(name, data["config"].get(name)) == value for name, value in more.items())

    return found


def offers(tool: str) -> Found:
    return lambda r: r["kind"] == "ModelCallRequested" and tool in r["data"]["config"].get("tools", {})


def kind(name: str, **more: Any) -> Found:
    """The first record of a kind, with these fields."""
    return lambda r: r["kind"] == name and all(r["data"].get(key) == value for key, value in more.items())


class Row(NamedTuple):
    """What is changed, from what into what; the first record that it reaches (None: nothing); where it stands."""

    name: str
    file: str
    old: str
    new: str
    stops: Found | None
    where: str = "here"
    differs: str = ""


HERE = Row._field_defaults["where"]
"""In the line that is changed."""


T, A, P, S = "table_tools.py", "agents/writer.md", PLAN, "skills/style/SKILL.md"
ROWS = [
    Row("prompt file", "prompts/survey.md", "Look", "look", model("survey/"), HERE, "messages"),
    Row("prompt in the plan", P, "Write about", "write about", model("left/"), HERE, "messages"),
    Row("one space more in a prompt", P, "Perhaps.", "Perhaps .", model("maybe/"), HERE, "messages"),
    Row("value of with", P, "name: ann", "name: anne", model("sub/hello/"), HERE, "messages"),
    Row("instructions", A, "short", "Short", model(agent="writer"), HERE, "messages"),
    Row("text of a skill", S, "No adj", "no adj", model(agent="writer"), f"{S}:1", "messages"),
    Row("agent's skills", A, "skills: style", "skills: []", model(agent="writer"), HERE, "messages"),
    Row("description of a skill", S, "How texts", "how texts", None, ""),
    Row("agent's max_tokens", A, "200", "201", model(agent="writer"), HERE, "config"),
    Row("agent's tools", A, "s: note", "s: note, weigh", model(agent="writer"), HERE, "tools"),
    Row("agent of a step", P, "agent: writer", "agent: checker", model("left/"), HERE, "agent"),
    Row("model of a step", P, "mock:right", "mock:Right", model("right/"), HERE, "config"),
    Row("max_tokens of a step", P, "77", "78", model("right/"), HERE, "config"),
    Row("default model", P, "mock:x", "mock:y", model(), HERE, "config"),
    Row("default max_tokens", P, "300", "301", model(max_tokens=300), HERE, "config"),
    Row("output schema", P, "required: [topic], ", "", model("survey/"), HERE, "output_schema"),
    Row("timeout of a step", P, "timeout: 1m", "timeout: 2m", model("survey/"), HERE, "timeout_ms"),
    Row("default timeout", P, "timeout: 5m", "timeout: 6m", model("left/"), HERE, "timeout_ms"),
    Row("default of an input", P, "default: tests", "default: testz", model("survey/"), HERE, "messages"),
    Row("source of a tool", T, "note.txt", "Note.txt", kind("ToolCallRequested", tool="note"), f"{T}:9", "version"),
    Row("version of a tool", T, '"7"', '"8"', kind("ToolCallRequested", tool="weigh"), f"{T}:16", "version"),
    Row("description of a tool", T, "Say how", "Tell how", offers("weigh"), f"{T}:16", "tools"),
    Row("parameter of a tool", T, "weigh(text: str", "weigh(text: str | int", offers("weigh"), f"{T}:16", "tools"),
    Row("timeout of a tool", T, "9_000", "9_001", kind("ToolCallRequested", tool="weigh"), f"{T}:16", "timeout_ms"),
    Row("effect of a tool", T, 'effect="workspace", v', 'effect="idempotent", v',
        kind("ToolCallRequested", tool="weigh"), f"{T}:16", "effect"),
    Row("items of a foreach", P, "[a, b]", "[a, c]", kind("StepExpanded", path="each")),
    Row("prompt of a child", P, "Say ${{ item }}", "say ${{ item }}", model("each[a]/"), HERE, "messages"),
    Row("until", P, "iteration >= 2", "iteration >= 1", kind("StepStarted", path="again#2")),
    Row("condition", P, "> 3", "> 9", kind("StepStarted", path="maybe")),
    Row("prompt of a sub-plan", "sub.plan.yaml", "Say hello", "say hello", model("sub/hello/")),
    Row("prompt file of a sub-plan", "prompts/bye.md", "Say", "say", model("sub/bye/")),
    Row("program", "table_team.py", '"First"', '"first"', kind("StepAdvanced", path="code"), "table_team.py:14"),
    Row("helper of a program", "table_words.py", "What of", "what of", kind("StepAdvanced", path="code"),
        "table_team.py:14"),
    Row("argument of a program's tool", "table_team.py", '"ten"', '"Ten"',
        lambda r: r["kind"] == "StepAdvanced" and r["data"]["path"] == "code"
        and any(ask.get("tool") == "weigh" for ask in r["data"].get("asks", ())), "table_team.py:16"),
    Row("command", P, "echo saved", "echo Saved", kind("ToolCallRequested", tool="run"), HERE, "arguments"),
    Row("grants", P, "env: [HOME]", "env: [HOMES]", kind("ToolCallRequested", tool="run"), HERE, "grants"),
    Row("keep", P, '"*.log"', '"*.logs"', kind("ToolCallRequested", tool="run"), HERE, "keep"),
    Row("effect of a command", P, "effect: workspace", "effect: read", kind("ToolCallRequested", tool="run"),
        HERE, "effect"),
    Row("reads", P, '["**"]', '["*.txt"]',
        lambda r: r["kind"] == "MergeRequested" and r["data"]["call"].startswith("save/"), HERE, "plan"),
    Row("merge policy", P, "prefer: left", "prefer: right",
        lambda r: r["kind"] == "MergeRequested" and r["data"]["call"].startswith("save/"), HERE, "plan"),
    Row("question to a person", P, "Shall it", "Should it", kind("ApprovalRequested"), HERE, "question"),
    Row("details for a person", P, "t: saved.txt", "t: saved.md", kind("ApprovalRequested"), HERE, "details"),
    Row("time for an answer", P, "expires: 1h", "expires: 2h", kind("ApprovalRequested"), HERE, "due_us"),
    Row("agent's iterations", A, "iterations: 4", "iterations: 1",
        lambda r: model("left/")(r) and "extends" in r["data"]),
    Row("budget", P, "400000", "300000", kind("StepStarted"), HERE, "account"),
    Row("limit of time", P, "time: 10m", "time: 30s", model("survey/"), HERE, "timeout_ms"),
    Row("needs", P, "needs: [agree, each", "needs: [survey, agree, each",
        lambda r: r["kind"] == "MergeRequested" and r["data"]["call"].startswith("report/"), HERE, "plan"),
    Row("outputs", P, "report: \"${{ steps.report.output }}\"", "report: \"${{ steps.left.output }}\"",
        kind("RunEnded"), HERE, "outputs"),
    Row("number of steps", P, "  report:\n", "  more: { prompt: More. }\n  report:\n",
        kind("StepStarted")),
    Row("a budget that nobody felt", P, "400000", "399999", None, ""),
    Row("description", P, "All kinds", "Some kinds", None, ""),
    Row("name of the plan", P, "name: team", "name: teams", None, ""),
    Row("a comment and other lines", P, "# Every", "#\n# Each", None, ""),
    Row("description of an agent", A, "Writes.", "writes.", None, ""),
    Row("retries that were not needed", P, "tries: 3", "tries: 2", None, ""),
    Row("iterations that were not needed", A, "iterations: 4", "iterations: 5", None, ""),
    Row("docstring of a module", T, "Tools of the team", "tools of the team", None, ""),
    Row("a function that says the same", "table_words.py", 'f"What of {text}?"', '"What of " + text + "?"', None, ""),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_replay_stops_at_the_first_call_that_a_change_reaches(row: Row, recorded: Recorded, tmp_path: Path) -> None:
    today = tmp_path / "today"
    shutil.copytree(TABLE, today, ignore=shutil.ignore_patterns("__pycache__"))
    text = (today / row.file).read_text()
    assert text.count(row.old) == 1
    (today / row.file).write_text(text.replace(row.old, row.new))
    code, said = give("replay", "r", "--against", today, "--json", "--store", recorded.store)
    report = json.loads(said)
    found = report["divergence"]
    if row.stops is None:
        assert (code, found, report["identical"]) == (0, None, True), said
        return
    expected = recorded.first(row.stops)
    assert code == 5, said
    assert found["seq"] == expected["seq"], (found, expected)
    data = expected["data"]
    if "Requested" in expected["kind"]:
        assert found["call"] == data["call"]
        assert found["step"] == data["call"].rsplit("/", 2)[0]
    line = text[: text.index(row.old)].count("\n") + 1
    where = f"{row.file}:{line}" if row.where == HERE else row.where
    assert f"{found['where']}:".startswith(f"{where}:"), (found["where"], where)
    assert found["recorded"] != found["current"]
    if row.differs:
        assert row.differs in found["recorded"]
        assert row.differs in found["current"]
        assert found["recorded"][row.differs] != found["current"][row.differs]


def test_a_model_that_would_drop_a_parameter_is_asked_for_something_else(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profile(_: LocalMockAdapter, model: str) -> ModelProfile:
        accepts = ("temperature", "top_p", "max_tokens", "tools", "json_schema")
        return ModelProfile(name=model, accepts=accepts, grade="exact", price=Price(input_micros=7), source="tenuto")

    monkeypatch.setattr(LocalMockAdapter, "profile", profile)
    code, said = give("replay", "r", "--against", TABLE, "--json", "--store", recorded.store)
    found = json.loads(said)["divergence"]
    assert (code, found["call"], found["where"]) == (5, "survey/1/0", f"{PLAN}:10:3")
    assert found["recorded"] == {"sent": ["temperature", "top_p", "seed"]}
    assert found["current"] == {"sent": ["temperature", "top_p"]}
    assert give("replay", "r", "--store", recorded.store)[0] == 0


LONG = """\
tenuto: 1
inputs: { text: { type: string } }
budget: { tool_calls: 4 }
steps:
  first: { run: "# ${{ inputs.text }}" }
  second: { needs: [first], run: "# ${{ inputs.text }} again" }
"""


def test_long_bodies_are_compared_by_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change that no call feels, every record has another hash; its bodies stand beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    plan = tmp_path / "long.plan.yaml"
    plan.write_text(LONG)
    given = ("--input", f"text={'x' * 20_000}", "--no-sandbox", "--store", tmp_path / "store")
    assert give("run", plan, "--run", "r", *given)[0] == 0
    for changed, code, call in (
        (LONG.replace("tool_calls: 4", "tool_calls: 5"), 0, None),
        (LONG.replace(" again", " Again"), 5, "second/1/0"),
    ):
        plan.write_text(changed)
        ended, said = give("replay", "r", "--against", tmp_path, "--json", "--store", tmp_path / "store")
        found = json.loads(said)["divergence"]
        assert (ended, found and found["call"]) == (code, call), said[:2_000]


def test_the_same_work_by_an_agent_of_another_name_is_another_route(recorded: Recorded, tmp_path: Path) -> None:
    today = tmp_path / "today"
    shutil.copytree(TABLE, today, ignore=shutil.ignore_patterns("__pycache__"))
    writer = (today / "agents/writer.md").read_text()
    (today / "agents/scribe.md").write_text(writer.replace("name: writer", "name: scribe"))
    (today / PLAN).write_text((today / PLAN).read_text().replace("agent: writer", "agent: scribe"))
    code, said = give("replay", "r", "--against", today, "--json", "--store", recorded.store)
    found = json.loads(said)["divergence"]
    assert (code, found["call"], found["where"]) == (5, "left/1/0", f"{PLAN}:21:5")
    assert (found["recorded"], found["current"]) == ({"agent": "writer"}, {"agent": "scribe"})
