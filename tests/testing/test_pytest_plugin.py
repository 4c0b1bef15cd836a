"""The plugin in projects of others: pytest in a process of its own, with all warnings as errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLAN = """\
tenuto: 1
name: greet
agents: [agents/*.md]
steps:
  say: { prompt: prompts/say.md, agent: kind, model: "mock:" }
  more: { needs: [say], prompt: "More of ${{ steps.say.output }}", model: "mock:" }
  count: { needs: [say], uses: "python:steps:count" }
"""
STEPS = """\
async def count(ctx, inputs):
    return await ctx.model("Count", model="mock:")
"""
AGENT = "---\nname: kind\ndescription: is kind\n---\nYou are kind.\n"
FILES = {
    "greet.plan.yaml": PLAN,
    "prompts/say.md": "Say hello.\n",
    "agents/kind.md": AGENT,
    "steps.py": STEPS,
    "tenuto.toml": "",
}

# An installation from before the plugin has no entry point for it.
PLUGIN = (
    [] if any(point.name == "tenuto" for point in entry_points(group="pytest11")) else ["-ptenuto.testing.plugin"]
)
OTHERS = ["-pno:cacheprovider", "-pno:asyncio", "-pno:timeout", "-pno:hypothesispytest"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a plan, a recorded run of it and a test directory."""
    directory = tmp_path_factory.mktemp("recorded")
    for name, text in FILES.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    (directory / "tests" / "runs").mkdir(parents=True)
    for arguments in (("run", "greet.plan.yaml", "--run", "one"), ("export", "one", "tests/runs/one.tenuto")):
        done = subprocess.run(
            [sys.executable, "-m", "tenuto", *arguments], cwd=directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def project(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "project"))


def run_pytest(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-Werror", *PLUGIN, *OTHERS, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


CHANGES = (
    ("prompts/say.md", "hello.", "hellO.", ("prompts/say.md:1:1: ", "hello.", "hellO.")),
    ("agents/kind.md", "kind.\n", "kinD.\n", ("You are kind.", "You are kinD.")),
    ("greet.plan.yaml", "More of", "Less of", ("greet.plan.yaml:6:", "More of", "Less of")),
    ("greet.plan.yaml", '"mock:" }', '"mock:other" }', ("mock:other",)),
    ("steps.py", "Count", "Sum", ("steps.py:2", "Count", "Sum")),
    ("greet.plan.yaml", "  more:", "  most:", ("most",)),
)


def test_a_recorded_run_is_a_test_and_one_changed_character_fails_it(recorded: Path, tmp_path: Path) -> None:
    for number, (file, old, new, _) in enumerate(CHANGES):
        path = shutil.copytree(recorded, tmp_path / str(number)) / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    shutil.copytree(recorded, tmp_path / "same")
    done = run_pytest(tmp_path, "-vv")
    assert done.returncode == 1, done.stdout
    assert "same/tests/runs/one.tenuto::replays PASSED" in done.stdout
    failures = done.stdout.split(" one.tenuto: replays ___")[1:]
    assert len(failures) == len(CHANGES)
    for failure, (*_, shown) in zip(failures, CHANGES, strict=True):
        wanted = ("diverged at record", "--- recorded", "+++ current", "record the run again", *shown)
        assert [part for part in wanted if part not in failure] == []
    assert "Traceback" not in done.stdout


def test_a_plan_or_bundle_that_cannot_be_used_fails(recorded: Path, tmp_path: Path) -> None:
    cut, moved, gone = (Path(shutil.copytree(recorded, tmp_path / name)) for name in ("cut", "moved", "gone"))
    bundle = cut / "tests" / "runs" / "one.tenuto"
    bundle.write_bytes(bundle.read_bytes()[:-5])
    (moved / "steps.py").unlink()
    (gone / "greet.plan.yaml").unlink()
    done = run_pytest(tmp_path)
    assert "3 failed" in done.stdout
    for said in ("it is cut off", "there is no module steps", "no directory above the bundle holds the plan"):
        assert said in done.stdout


def test_nothing_is_run_and_nothing_is_asked(project: Path) -> None:
    """Sockets, processes and stores are refused while the recorded run is replayed."""
    (project / "conftest.py").write_text(
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.exec', 'os.fork', 'sqlite3.connect')):\n"
        "        if event not in ('socket.__new__',):\n"  # a loop's own pipe
        "            raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
    )
    before = {path: path.stat().st_mtime_ns for path in (project / ".tenuto").rglob("*") if path.is_file()}
    done = run_pytest(project)
    assert done.returncode == 0, done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (project / ".tenuto").rglob("*") if path.is_file()}


def test_the_fixtures_run_plans_in_memory(project: Path) -> None:
    (project / "tests" / "test_plans.py").write_text(
        "from tenuto import ScriptedReply\n"
        "from tenuto.testing import assert_replays, assert_under_budget, crash_at\n"
        "from tenuto.testing.builders import plan, prompt\n"
        "def test_one(tenuto_engine, tenuto_model):\n"
        "    model = tenuto_model(ScriptedReply(step='b', text='no'), 'yes')\n"
        "    engine = tenuto_engine(plan(prompt('a'), prompt('b', needs=['a'])), model=model)\n"
        "    state = engine.run()\n"
        "    assert [state.steps[name].output.value for name in 'ab'] == ['yes', 'no']\n"
        "    assert model.calls == 2\n"
        "    assert_replays(engine)\n"
        "    assert_under_budget(engine, model_calls=2)\n"
        "def test_two(tenuto_engine):\n"
        "    assert crash_at(tenuto_engine(plan(prompt('a'), prompt('b'))), append=1).status == 'ok'\n"
        "def test_three(tenuto_clock):\n"
        "    before = tenuto_clock.now_us()\n"
        "    tenuto_clock.advance_us(5)\n"
        "    assert tenuto_clock.now_us() == before + 5\n"
    )
    (project / "small.plan.yaml").write_text(
        'tenuto: 1\nname: small\nsteps:\n  a: { prompt: "Hi", model: "mock:" }\n'
    )
    (project / "tests" / "test_file.py").write_text(
        "def test_plan_file(tenuto_engine):\n    assert tenuto_engine('small.plan.yaml').run().status == 'ok'\n"
    )
    done = run_pytest(project)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_a_project_without_plans_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / ".tenuto").mkdir()
    (tmp_path / "notes.tenuto.txt").write_text("no bundle\n")
    (tmp_path / "test_a.py").write_text(
        "import sys\n"
        "def test_a():\n"
        "    mine = {name for name in sys.modules if name.startswith('tenuto')}\n"
        "    assert mine == {'tenuto', 'tenuto.testing', 'tenuto.testing.plugin'}\n"
        "    assert not {'msgspec', 'immutables', 'click', 'sqlite3', 'yaml'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert run_pytest(tmp_path, "-pno:tenuto").returncode == (1 if not PLUGIN else 0)
