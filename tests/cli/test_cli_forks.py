"""`tenuto fork` and `run --reuse`: only what a change affects is executed, and everything says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tenuto = Callable[..., Any]

PLAN = """\
name: team
inputs: { who: { type: string, default: world } }
defaults: { model: "mock:" }
steps:
  a: { run: "echo a > a.txt" }
  b: { prompt: prompts/b.md }
  c: { prompt: "Greet ${{ inputs.who }}." }
  join: { needs: [a, b, c], prompt: "Join ${{ steps.b.output }} ${{ steps.c.output }}" }
  each: { needs: [c], foreach: ["x", "y"], prompt: "Do ${{ item }} ${{ steps.c.output }}" }
  do: { plan: { steps: { inner: { prompt: Inner. }, after: { needs: [inner], prompt: After. } } } }
outputs: { joined: "${{ steps.join.output }}" }
"""


@pytest.fixture
def parent(project: Path, tenuto: Tenuto) -> dict[str, Any]:
    (project / "prompts").mkdir()
    (project / "prompts" / "b.md").write_text("Find facts.\n")
    (project / "team.plan.yaml").write_text(PLAN)
    done = tenuto("run", "team.plan.yaml", "--run", "one", "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = done.object
    return found


ALL = ["a", "b", "c", "join", "each[0]", "each[1]", "do/inner", "do/after"]


def test_a_fork_of_nothing_executes_nothing_and_comes_to_the_same(tenuto: Tenuto, parent: dict[str, Any]) -> None:
    assert (parent["parent"], parent["root"], parent["executed"], parent["reused"]) == (None, "one", ALL, [])
    fork = tenuto("fork", "one", "--run", "two", "--json").object
    assert (fork["run"], fork["parent"], fork["root"]) == ("two", "one", "one")
    assert (fork["executed"], fork["reused"], fork["exit"]) == ([], ALL, 0)
    assert fork["budget"]["spent"].get("model_calls", 0) == 0
    assert [fork[name] for name in ("result_digest", "tree_digest", "outputs")] == [
        parent[name] for name in ("result_digest", "tree_digest", "outputs")
    ]
    sources = {step["path"]: step["source"] for step in fork["steps"] if step["reused"]}
    assert sources.keys() == set(ALL)
    assert sources["b"]["run"] == "one"


def test_a_changed_prompt_executes_its_step_and_what_depends_on_it(
    project: Path, tenuto: Tenuto, parent: dict[str, Any]
) -> None:
    (project / "prompts" / "b.md").write_text("Find more facts.\n")
    said = tenuto("fork", "one", "--edit", "prompts/b.md", "--run", "two")
    assert "  fork of one: 2 steps executed, 6 reused\n" in said.out
    assert "reused     c, from one record " in said.err
    shown = tenuto("show", "two", "--json").object
    assert shown["executed"] == ["b", "join"]
    assert shown["result_digest"] != parent["result_digest"]
    again = tenuto("fork", "two", "--from", "each[1]", "--json").object
    assert (again["executed"], again["parent"], again["root"]) == (["each[1]"], "two", "one")
    assert again["result_digest"] == shown["result_digest"]


@pytest.mark.parametrize(
    ("options", "executed"),
    [
        (("--set", "inputs.who=you"), ["c", "join", "each[0]", "each[1]"]),
        (("--set", "steps.join.max_tokens=9"), ["join"]),
        (("--set", "steps.do/after.prompt=Else."), ["do/after"]),
        (("--set", "steps.a.run=echo b > a.txt"), ["a", "join"]),
        (("--from", "c"), ["c"]),
        (("--from", "do"), ["do/inner", "do/after"]),
        (("--from", "each"), ["each[0]", "each[1]"]),
        (("--edit", "readme.txt"), ["a", "b", "c", "join", "each[0]", "each[1]", "do/inner", "do/after"]),
    ],
)
def test_only_what_a_change_affects_is_executed(
    project: Path, tenuto: Tenuto, parent: dict[str, Any], options: tuple[str, ...], executed: list[str]
) -> None:
    (project / "readme.txt").write_text("another\n")
    foreseen = tenuto("fork", "one", *options, "--dry-run", "--json").object
    assert len(tenuto("ls", "--json").object["runs"]) == 1
    fork = tenuto("fork", "one", *options, "--json").object
    assert fork["executed"] == executed
    assert set(foreseen["certain"]) <= set(executed)
    assert set(executed) <= {*foreseen["certain"], *foreseen["maybe"], *_children(foreseen)}
    assert set(foreseen["reused"]) <= set(fork["reused"])
    assert parent["reused"] == []


def _children(foreseen: dict[str, Any]) -> set[str]:
    """The items of a `foreach` that has not begun are not known: its own name stands for them."""
    return {f"{path}[{n}]" for path in (*foreseen["certain"], *foreseen["maybe"]) for n in range(2)}


def test_a_dry_run_tells_certain_perhaps_reused_and_the_worst_case(
    project: Path, tenuto: Tenuto, parent: dict[str, Any]
) -> None:
    (project / "prompts" / "b.md").write_text("Find more facts.\n")
    lines = tenuto("fork", "one", "--edit", "prompts/b.md", "--dry-run").out.splitlines()
    assert lines[0] == "a fork of one: nothing is recorded yet"
    assert lines[1] == "  steps.b.prompt: changed by --edit prompts/b.md"
    assert "executed   b" in lines
    assert "perhaps    join" in lines
    assert "reused     a, c, each[0], each[1], do/inner, do/after" in lines
    assert any(line.startswith("at most    8 model calls, ") for line in lines)
    sure = tenuto("fork", "one", "--from", "b", "--from", "join", "--dry-run", "--json").object
    assert (sure["certain"], sure["maybe"]) == (["b", "join"], [])
    assert parent["run"] == "one"


def test_a_fork_is_a_run_like_any_other(
    project: Path, tenuto: Tenuto, parent: dict[str, Any], tmp_path: Path
) -> None:
    assert tenuto("fork", "one", "--set", "steps.c.prompt=Else.", "--run", "two").code == 0
    assert tenuto("replay", "two").code == 0
    assert tenuto("verify", "two").code == 0
    assert tenuto("diff", "two", "two").code == 0
    differing = tenuto("diff", "one", "two", "--json").object
    assert {s["path"] for s in differing["steps"] if s["differs"]} == {"c", "join", "each[0]", "each[1]", "each"}
    assert "from one, record" in tenuto("show", "two", "a").out
    assert tenuto("show", "two", "a", "--json").object["step"]["source"]["run"] == "one"
    assert "  fork of    one: " in tenuto("show", "two").out
    assert "takes the result of one, record" in tenuto("logs", "two").out
    assert [run["parent"] for run in tenuto("ls", "--json").object["runs"]] == [None, "one"]
    assert "team, fork of one" in tenuto("ls").out
    assert tenuto("artifacts", "two").code == 0
    assert tenuto("export", "two", tmp_path / "two.tenuto").code == 0
    other = ("--store", tmp_path / "elsewhere")
    assert tenuto("import", tmp_path / "two.tenuto", *other).code == 0
    assert tenuto("replay", "two", *other).code == 0
    assert tenuto("verify", "two", *other).code == 0
    assert tenuto("apply", "two").code == 0
    assert (project / "a.txt").read_text() == "a\n"
    assert parent["exit"] == 0


def test_replay_against_today_knows_what_was_set(tenuto: Tenuto, parent: dict[str, Any], project: Path) -> None:
    assert tenuto("fork", "one", "--set", "steps.c.prompt=Else.", "--run", "two").code == 0
    assert tenuto("replay", "two", "--against", ".").code == 0
    (project / "prompts" / "b.md").write_text("Find more facts.\n")
    third = tenuto("fork", "two", "--edit", "prompts/b.md", "--json").object
    assert third["executed"] == ["b", "join"]  # `c` is as it was set
    assert parent["exit"] == 0


def test_run_reuses_the_results_of_another_run(tenuto: Tenuto, parent: dict[str, Any]) -> None:
    you = ("run", "team.plan.yaml", "--input", "who=you", "--json")
    again = tenuto(*you, "--reuse", "one").object
    assert (again["executed"], again["parent"]) == (["c", "join", "each[0]", "each[1]"], "one")
    whole = tenuto(*you, "--seed", _seed(tenuto)).object
    assert whole["result_digest"] == again["result_digest"]
    assert parent["exit"] == 0


def _seed(tenuto: Tenuto) -> str:
    first = json.loads(tenuto("events", "one").out.splitlines()[0])
    seed: str = first["data"]["seed"]
    return seed


def test_a_fork_needs_no_files(project: Path, tenuto: Tenuto, parent: dict[str, Any]) -> None:
    shutil.rmtree(project / "prompts")
    (project / "team.plan.yaml").unlink()
    fork = tenuto("fork", "one", "--set", "steps.join.prompt=Join.", "--json").object
    assert fork["executed"] == ["join"]
    assert parent["exit"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "steps.d.prompt=x"), "--set steps.d.prompt: there is no step d; did you mean do?"),
        (("--set", "steps.b.promt=x"), "a step has no key promt; did you mean prompt?"),
        (("--from", "joyn"), "--from joyn: the run has no such step; did you mean join?"),
        (("--edit", ""), "--edit: names no file;"),
        (("--edit", "nothing.md"), "--edit nothing.md: the run is made of no such file;"),
        (("--add-budget", "time=5s"), "a fork has the whole time of its plan"),
        (("--add-budget", "tokens=5"), "the plan does not limit tokens"),
        (("--run", "one"), "the run one exists already"),
    ],
)
def test_wrong_options_are_told(
    tenuto: Tenuto, parent: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    refused = tenuto("fork", "one", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert len(refused.err.splitlines()) == 1
    assert len(tenuto("ls", "--json").object["runs"]) == 1
    assert parent["exit"] == 0


SHIPPING = """\
budget: { tokens: 20000 }
defaults: { model: "mock:" }
steps:
  b: { prompt: Two. }
  ship: { needs: [b], run: "echo shipped", effect: once }
"""


@pytest.fixture
def shipped(project: Path, tenuto: Tenuto) -> dict[str, Any]:
    (project / "ship.plan.yaml").write_text(SHIPPING)
    found: dict[str, Any] = tenuto("run", "ship.plan.yaml", "--run", "sent", "--json").object
    assert found["exit"] == 0
    return found


def test_an_outside_effect_is_repeated_only_when_somebody_agrees(tenuto: Tenuto, shipped: dict[str, Any]) -> None:
    change = ("fork", "sent", "--set", "steps.ship.run=echo again")
    foreseen = tenuto(*change, "--dry-run", "--json").object
    assert foreseen["asks"] == [{"call": "sent/ship/1/0", "step": "ship", "tool": "run"}]
    assert "asks first ship: run would repeat" in tenuto(*change, "--dry-run").out
    waits = tenuto(*change, "--run", "again")
    assert waits.code == 4
    assert "this repeats an outside effect of sent/ship/1/0" in waits.out
    assert tenuto("approve", "again", "ship/1/0").code == 0
    done = tenuto("resume", "again", "--json").object
    assert (done["exit"], done["executed"], done["reused"]) == (0, ["ship"], ["b"])
    assert tenuto("replay", "again").code == 0
    assert shipped["executed"] == ["b", "ship"]


def test_a_fork_has_what_its_root_has_left(tenuto: Tenuto, shipped: dict[str, Any]) -> None:
    left = 20_000 - shipped["budget"]["spent"]["tokens"]
    fork = tenuto("fork", "sent", "--from", "b", "--add-budget", "tokens=7", "--run", "two", "--json").object
    assert fork["budget"]["limit"] == {"tokens": left + 7}
    spent = fork["budget"]["spent"]["tokens"]
    third = tenuto("fork", "two", "--from", "b", "--json").object
    assert third["budget"]["limit"] == {"tokens": min(20_000, left + 7 - spent)}
    assert (third["parent"], third["root"]) == ("two", "sent")


def test_a_fork_that_is_cancelled_while_nobody_drives_it_gives_its_rest_back(
    tenuto: Tenuto, shipped: dict[str, Any]
) -> None:
    left = 20_000 - shipped["budget"]["spent"]["tokens"]
    waits = tenuto("fork", "sent", "--from", "ship", "--run", "waits", "--json").object
    assert (waits["exit"], waits["budget"]["limit"]) == (4, {"tokens": left})
    assert tenuto("cancel", "waits").code == 0
    assert tenuto("fork", "sent", "--json").object["budget"]["limit"] == {"tokens": left}


def test_an_imported_run_is_forked_in_a_sandbox_and_without_money(
    tenuto: Tenuto, shipped: dict[str, Any], tmp_path: Path
) -> None:
    assert shipped["exit"] == 0
    assert tenuto("export", "sent", tmp_path / "sent.tenuto").code == 0
    other = ("--store", tmp_path / "elsewhere")
    assert tenuto("import", tmp_path / "sent.tenuto", *other).code == 0
    assert tenuto("fork", "sent", "--from", "b", *other, "--json").object["exit"] == 3
    paid = tenuto("fork", "sent", "--from", "b", "--add-budget", "tokens=5000", *other, "--json").object
    assert (paid["exit"], paid["executed"], paid["reused"]) == (0, ["b"], ["ship"])
    refused = tenuto("fork", "sent", "--edit", "ship.plan.yaml", *other)
    assert "the run was imported, so its files are not here; change its parts by --set" in refused.err


PROGRAM = """\
from fork_words import WORD

NOTHING = "Think."


async def work(ctx, inputs):
    return await ctx.model(WORD)
"""


@pytest.mark.parametrize("changed", ["fork_work.py", "fork_words.py"])
def test_changed_code_is_named_before_it_counts(project: Path, changed: str) -> None:
    def give(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", "-m", "tenuto", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=60)

    (project / "fork_words.py").write_text("WORD = 'Think.'\n")
    (project / "fork_work.py").write_text(PROGRAM)
    (project / "p.plan.yaml").write_text(
        'defaults: { model: "mock:" }\nsteps:\n  think: { uses: "python:fork_work:work" }\n  b: { prompt: B. }\n'
    )
    assert give("run", "p.plan.yaml", "--run", "one").returncode == 0
    (project / changed).write_text((project / changed).read_text().replace("Think", "Rethink"))
    refused = give("fork", "one", "--set", "steps.b.prompt=C.")
    assert refused.returncode == 2
    assert (
        "steps.think.uses (fork_work.py): its code, or a module that it imports, has changed since the run"
        in refused.stderr
    )
    assert "--edit fork_work.py, or its step by --from think" in refused.stderr
    for named in (("--edit", "fork_work.py"), ("--from", "think")):
        done = give("fork", "one", *named, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["executed"] == ["think"]
