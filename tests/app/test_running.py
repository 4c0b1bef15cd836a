"""`tenuto.run` and `run_sync`: a plan in a few lines of Python, in the same store as the command line's runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenuto import Plan, Ran, UsageError, build, run, run_sync, tool, write_plan
from tenuto.errors import InvalidPlanError

PROGRAM = """
from dataclasses import dataclass
from tenuto import Context, Inputs

@dataclass
class Names:
    known: dict

async def greet(ctx: Context[Names], inputs: Inputs) -> dict:
    length = await ctx.tool("length", text=ctx.deps.known[inputs.who])
    return {"hello": ctx.deps.known[inputs.who], "length": length}

async def plain(ctx: Context, inputs: Inputs) -> bool:
    return ctx.deps is None

async def count(ctx: Context[Names], inputs: Inputs) -> int:
    return len(ctx.deps.known)

async def blind(ctx: "Context[Elsewhere]", inputs):
    return 1
"""


@tool(effect="read")
def length(text: str) -> int:
    """How long a text is."""
    return len(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "greeting_steps.py").write_text(PROGRAM)
    (tmp_path / "tenuto.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    for name in ("TENUTO_MODEL", "TENUTO_STORE"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    sys.modules.pop("greeting_steps", None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def hello() -> Plan:
    idea = build.prompt("idea", f"A name for a {build.given('what')}", max_tokens=20)
    poem = build.prompt("poem", f"On {build.output(idea)}", needs=idea, agent="poet", max_tokens=20)
    outputs = {"poem": build.output(poem)}
    return build.plan("hello", idea, poem, inputs={"what": build.input(default="cat")}, outputs=outputs)


POET = build.agent("poet", "You write poems.")


def shown(project: Path, *words: str) -> Any:
    command = [sys.executable, "-m", "tenuto", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_a_plan_runs_in_one_call(project: Path) -> None:
    heard: list[Any] = []
    done = run_sync(hello(), {"what": "dog"}, agents=[POET], name="hello-1", listen=heard.append)
    assert isinstance(done, Ran)
    assert (done.ok, done.status, done.run, done.error) == (True, "ok", "hello-1", "")
    assert done.outputs == {"poem": done.output("poem")}
    assert done.report()["grade"] == "exact"
    assert [published.seq for published in heard] == list(range(len(heard)))
    assert shown(project, "show", "hello-1", "--json")["outputs"] == done.outputs
    assert shown(project, "replay", "hello-1", "--json")["identical"]


def test_the_same_plan_of_a_file_and_of_python_gives_the_same(project: Path) -> None:
    plan = hello()
    write_plan(plan, {"poet": POET}, project / "hello.plan.yaml")
    built = run_sync(plan, agents=[POET], seed="7")
    read = run_sync("hello.plan.yaml", seed="7")
    assert built.outputs == read.outputs
    assert built.state.result == read.state.result


async def test_run_is_async_and_run_sync_is_not_for_a_loop(project: Path) -> None:
    done = await run(hello(), agents=[POET], store=project / "elsewhere")
    assert done.ok
    assert (project / "elsewhere" / "journal.db").exists()
    with pytest.raises(UsageError, match=r"await tenuto\.run"):
        run_sync(hello(), agents=[POET])


def test_programs_get_deps_and_tools_of_the_caller(project: Path) -> None:
    plan = build.plan(
        "greet",
        build.uses("greet", "python:greeting_steps:greet", values={"who": "ann"}),
        build.uses("plain", "python:greeting_steps:plain"),
    )
    with pytest.raises(UsageError, match=r"needs deps \(Names\)"):
        run_sync(plan, tools=[length])
    with pytest.raises(UsageError, match="needs a Names as deps, not a dict"):
        run_sync(plan, tools=[length], deps={})
    from greeting_steps import Names  # type: ignore[import-not-found]

    with pytest.raises(UsageError, match="type hints cannot be read"):
        run_sync(build.plan("blind", build.uses("blind", "python:greeting_steps:blind")), deps=1)
    done = run_sync(plan, tools=[length], deps=Names({"ann": "Ann!"}), name="greet-1")
    assert done.ok, done.error
    assert done.output("greet") == {"hello": "Ann!", "length": 4}
    assert done.output("plain") is True  # it does not ask for any
    with pytest.raises(UsageError, match="no such step"):
        done.output("great")
    found = shown(project, "replay", "greet-1", "--json")
    assert found["identical"]
    assert found["unchecked"] == ["greet"]


def test_deps_stay_out_of_the_record(project: Path) -> None:
    plan = build.plan("count", build.uses("count", "python:greeting_steps:count"), build.prompt("a", "x"))
    run_sync(build.plan("plain", build.uses("plain", "python:greeting_steps:plain")))
    from greeting_steps import Names

    assert run_sync(plan, deps=Names({"do-not-store-this-value": 1})).output("count") == 1
    stored = b"".join(path.read_bytes() for path in (project / ".tenuto").rglob("*") if path.is_file())
    assert b"do-not-store-this-value" not in stored
    assert b"StepCompleted" in stored


def test_what_is_wrong_is_told_before_anything_is_recorded(project: Path) -> None:
    with pytest.raises(InvalidPlanError, match="there is no agent poet"):
        run_sync(hello())
    with pytest.raises(UsageError, match="no such input"):
        run_sync(hello(), {"wat": 1}, agents=[POET])
    with pytest.raises(UsageError, match="two agents are named poet"):
        run_sync(hello(), agents=[POET, build.agent("poet", "You write prose.")])
    with pytest.raises(InvalidPlanError, match="is not there"):
        run_sync("nothing.plan.yaml")
    assert not (project / ".tenuto" / "journal.db").exists() or shown(project, "ls", "--json") == []


def test_a_failed_run_is_a_value(project: Path) -> None:
    done = run_sync(
        build.plan(
            "bad", build.prompt("a", "x", output={"enum": "${{ inputs.x.y }}"}), inputs={"x": build.input(list)}
        ),
        {"x": []},
    )
    assert (done.ok, done.status, done.outputs, done.output("a")) == (False, "failed", {}, None)
    assert "inputs.x" in done.error


async def test_a_cancelled_task_leaves_the_run_resumable(project: Path) -> None:
    slow = build.plan("slow", build.wait("pause", "1h"))
    started = asyncio.Event()
    task = asyncio.create_task(run(slow, name="slow-1", listen=lambda _: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shown(project, "show", "slow-1", "--json")["status"] == "running"


def test_results_of_another_run_are_reused(project: Path) -> None:
    def asked(text: str) -> Plan:
        return build.plan("two", build.prompt("a", "Say a"), build.prompt("b", text))

    run_sync(asked("Say b"), repository=project, name="first")
    again = run_sync(asked("Say c"), repository=project, name="second", reuse="first").report()
    assert (again["parent"], again["executed"], again["reused"]) == ("first", ["b"], ["a"])
