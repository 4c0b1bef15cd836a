"""What a fork is of: exactly what was asked for differs from the parent, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto.app.build import open_store, open_workspace
from tenuto.app.config import Settings, read_settings
from tenuto.app.driving import Drive, RunOptions, Stopper, start_run
from tenuto.app.forking import ForkChanges, ForkPlan, fork_plan
from tenuto.core.plan import PromptWork
from tenuto.errors import UsageError

FILES = {
    "x.plan.yaml": """\
agents: [agents/*.md]
inputs: { who: { type: string, default: world }, times: { type: integer, default: 1 } }
defaults: { model: "mock:" }
steps:
  a: { agent: scout, prompt: prompts/a.md }
  b: { prompt: "Greet ${{ inputs.who }} ${{ inputs.times }} times." }
  do: { plan: { steps: { inner: { prompt: Inner. } } } }
""",
    "agents/scout.md": "---\nname: scout\n---\nYou look.\n",
    "prompts/a.md": "Look.\n",
    "notes/one.txt": "one\n",
    "notes/two.txt": "two\n",
    ".gitignore": "ignored.txt\n",
    "ignored.txt": "nobody sees it\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which the run `one` has ended."""
    directory = tmp_path / "project"
    for name, text in FILES.items():
        (directory / name).parent.mkdir(exist_ok=True, parents=True)
        (directory / name).write_text(text)
    (directory / "tenuto.toml").write_text("")
    monkeypatch.chdir(directory)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    asyncio.run(_run(read_settings(directory, {}), directory))
    return directory


async def _run(settings: Settings, directory: Path) -> None:
    store = open_store(settings, create=True)
    drive = Drive(listen=lambda _: None, named=lambda _: None, stopper=Stopper())
    options = RunOptions(plan=directory / "x.plan.yaml", repository=directory, run="one", inputs={"who": "you"})
    try:
        state = await start_run(settings, store, options, drive)
        assert state.status == "ok", state.why
    finally:
        await store.close()


Fork = Callable[..., ForkPlan]


@pytest.fixture
def fork(project: Path) -> Fork:
    settings = read_settings(project, {})

    def make(*edits: str, settings_: tuple[str, ...] = (), run_again: tuple[str, ...] = ()) -> ForkPlan:
        async def work() -> ForkPlan:
            store = open_store(settings)
            try:
                changes = ForkChanges(settings=settings_, edits=edits, run_again=run_again)
                return await fork_plan(settings, store, "one", changes)
            finally:
                await store.close()

        return asyncio.run(work())

    return make


def files(project: Path, tree: Any) -> dict[str, str]:
    async def work() -> dict[str, str]:
        store = open_store(read_settings(project, {}))
        workspace = open_workspace(store)
        try:
            entries = await workspace.entries(tree)
            bodies = await workspace.bodies([entry.digest for entry in entries])
            return {entry.path: bodies[entry.digest].decode() for entry in entries}
        finally:
            await workspace.close()
            await store.close()

    return asyncio.run(work())


def test_a_fork_without_changes_is_of_what_the_store_holds(project: Path, fork: Fork) -> None:
    before = fork()
    for name in ("x.plan.yaml", "agents", "prompts"):
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    after = fork()
    assert (after.plan, after.agents, after.places) == (before.plan, before.agents, before.places)
    assert after.plan.digest == before.state.plan
    assert (after.inputs, after.tree) == ({"who": "you", "times": 1}, before.tree)
    assert (after.changes, after.leave_out, after.unchanged) == ((), (), ())
    assert after.repository == project


def test_settings_change_the_plan_the_agents_and_the_inputs(fork: Fork) -> None:
    base = fork()
    agents = ("agents.scout.instructions=See.",)
    found = fork(settings_=("inputs.times=3", "steps.b.max_tokens=7", *agents, "steps.do/inner.prompt=Else."))
    assert found.inputs == {"who": "you", "times": 3}
    assert found.agents["scout"].instructions == "See."
    assert found.plan.steps[0] == base.plan.steps[0]
    assert found.plan.steps[1].max_tokens == 7
    assert found.tree == base.tree
    assert [(c.part, c.by) for c in found.changes] == [
        ("inputs.times", "--set"),
        ("steps.b.max_tokens", "--set"),
        ("agents.scout.instructions", "--set"),
        ("steps.do/inner.prompt", "--set"),
    ]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("inputs.wo=1", "--set inputs.wo: the plan has no such input; did you mean who?"),
        ("inputs.times=x", "input times: x is no integer; give a whole number, such as 5"),
        ("steps.b.needs=[a, zz]", "--set steps.b.needs: steps.b.needs[1]: there is no step zz;"),
        ("steps.b.prompt=${{ steps.a.output }}", "--set steps.b.prompt: "),
        ("steps.b.model=nobody", "--set steps.b.model: 'nobody' does not name a model;"),
    ],
)
def test_a_setting_is_checked_as_a_plan_file_is(fork: Fork, setting: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        fork(settings_=(setting,))
    assert str(refused.value).startswith(said)


def test_a_part_is_set_once(fork: Fork) -> None:
    with pytest.raises(UsageError, match="this part is set twice"):
        fork(settings_=("inputs.who=a", "inputs.who=b"))


def test_an_edited_prompt_changes_its_step_and_not_the_tree(project: Path, fork: Fork) -> None:
    base = fork()
    (project / "prompts" / "a.md").write_text("See.\n")
    found = fork("prompts/a.md")
    assert found.plan.steps[0].work == PromptWork(agent="scout", source="prompts/a.md", text="See.\n")
    assert found.plan.steps[1:] == base.plan.steps[1:]
    assert (found.agents, found.inputs, found.tree) == (base.agents, base.inputs, base.tree)
    assert [(c.part, c.by) for c in found.changes] == [("steps.a.prompt", "--edit prompts/a.md")]


def test_what_is_not_named_must_be_as_it_was(project: Path, fork: Fork) -> None:
    (project / "prompts" / "a.md").write_text("See.\n")
    (project / "agents" / "scout.md").write_text("---\nname: scout\n---\nYou see.\n")
    (project / "agents" / "new.md").write_text("---\nname: new\n---\nNew.\n")
    with pytest.raises(UsageError) as refused:
        fork("prompts/a.md")
    assert refused.value.what == "agents/scout.md, agents/new.md have changed as well"
    assert refused.value.fix == "name them with --edit too, or restore them"
    assert "new" in fork("prompts", "agents").agents
    (project / "agents" / "new.md").unlink()
    with pytest.raises(UsageError, match=r"agents/scout\.md has changed as well; name it with --edit too"):
        fork("prompts/a.md")
    both = fork("prompts/a.md", "agents/scout.md")
    assert [(c.part, c.by) for c in both.changes] == [
        ("steps.a.prompt", "--edit prompts/a.md"),
        ("agents.scout.instructions", "--edit agents/scout.md"),
    ]


def test_an_edited_plan_brings_new_defaults_and_keeps_what_was_given(project: Path, fork: Fork) -> None:
    plan = project / "x.plan.yaml"
    plan.write_text(plan.read_text().replace("default: 1", "default: 2").replace("default: world", "default: all"))
    assert fork("x.plan.yaml").inputs == {"who": "you", "times": 2}
    plan.write_text(plan.read_text().replace("default: 2 }", "default: 2 }, more: { type: string }"))
    with pytest.raises(UsageError, match=r"input more: the plan needs this input; give --set inputs\.more=VALUE"):
        fork("x.plan.yaml")
    assert fork("x.plan.yaml", settings_=("inputs.more=m",)).inputs == {"who": "you", "times": 2, "more": "m"}


def test_files_of_the_repository_change_the_tree(project: Path, fork: Fork) -> None:
    base = fork()
    (project / "notes" / "one.txt").write_text("ONE\n")
    (project / "notes" / "two.txt").unlink()
    (project / "notes" / "three.txt").write_text("three\n")
    (project / "prompts" / "a.md").write_text("Not named, so not looked at.\n")
    one = fork("notes/one.txt")
    assert one.plan == base.plan
    assert files(project, one.tree)["notes/one.txt"] == "ONE\n"
    assert files(project, one.tree)["notes/two.txt"] == "two\n"
    assert files(project, one.tree)["prompts/a.md"] == "Look.\n"
    whole = fork("notes")
    assert {n: t for n, t in files(project, whole.tree).items() if "notes" in n} == {
        "notes/one.txt": "ONE\n",
        "notes/three.txt": "three\n",
    }
    assert {(c.part, c.what) for c in whole.changes} == {
        ("notes/one.txt", "changed"),
        ("notes/three.txt", "added"),
        ("notes/two.txt", "removed"),
    }
    assert fork("notes/two.txt").changes[0].what == "removed"


def test_the_whole_directory_is_the_plan_and_the_tree(project: Path, fork: Fork) -> None:
    (project / "prompts" / "a.md").write_text("See.\n")
    (project / "notes" / "one.txt").write_text("ONE\n")
    found = fork(".")
    assert [(c.part, c.by) for c in found.changes] == [("steps.a.prompt", "--edit ."), ("notes/one.txt", "--edit .")]
    assert files(project, found.tree)["prompts/a.md"] == "Look.\n"


@pytest.mark.parametrize("name", ["nothing.txt", "ignored.txt", "../elsewhere.txt", "nowhere/"])
def test_a_file_that_the_run_is_not_made_of_is_refused(fork: Fork, name: str) -> None:
    with pytest.raises(UsageError, match="the run is made of no such file"):
        fork(name)


def test_a_file_that_is_as_it_was_is_told(fork: Fork) -> None:
    found = fork("prompts/a.md", "notes/one.txt")
    assert (found.changes, found.unchanged) == ((), ("prompts/a.md", "notes/one.txt"))


def test_a_plan_that_cannot_be_read_today_matters_where_it_is_named(project: Path, fork: Fork) -> None:
    (project / "notes" / "one.txt").write_text("ONE\n")
    (project / "x.plan.yaml").write_text("steps: {")
    assert fork("notes/one.txt").plan == fork().plan
    with pytest.raises(UsageError, match=r"x\.plan\.yaml:2:1: this cannot be read as YAML"):
        fork("x.plan.yaml")


def test_files_are_named_from_here_or_from_the_repository(
    project: Path, fork: Fork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (project / "prompts" / "a.md").write_text("See.\n")
    monkeypatch.chdir(project / "prompts")
    assert [c.part for c in fork("a.md").changes] == ["steps.a.prompt"]
    monkeypatch.chdir(tmp_path)
    assert [c.part for c in fork("prompts/a.md").changes] == ["steps.a.prompt"]
    assert [c.part for c in fork(str(project / "prompts" / "a.md")).changes] == ["steps.a.prompt"]


def test_steps_that_run_again_are_named(fork: Fork) -> None:
    assert fork(run_again=("b",)).leave_out == ("b",)
    assert fork(run_again=("do/inner", "a", "a")).leave_out == ("do/inner", "a")
    with pytest.raises(UsageError, match="--from d: the run has no such step; did you mean do"):
        fork(run_again=("d",))


def test_edits_need_the_repository(project: Path, fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    store = project.parent / "kept"
    shutil.move(project / ".tenuto", store)
    monkeypatch.chdir(project.parent)
    shutil.rmtree(project)

    async def work(**changes: Any) -> ForkPlan:
        opened = open_store(read_settings(Path(), {"store": str(store)}))
        try:
            return await fork_plan(read_settings(Path(), {}), opened, "one", ForkChanges(**changes))
        finally:
            await opened.close()

    assert asyncio.run(work(settings=("steps.b.prompt=Else.",))).plan.name == "x"
    with pytest.raises(UsageError, match="run one: the run's repository is not there; change its parts by --set"):
        asyncio.run(work(edits=("prompts/a.md",)))
