"""Thousands of wrong plan and agent files: no traceback, no hang; a problem is one line with a place and a fix."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from tenuto.app.checking import check_plan
from tenuto.app.config import Settings, read_settings
from tenuto.errors import InvalidPlanError, UsageError

from .mutations import mutated_agent, mutated_plan

ROOT = Path(__file__).parents[2]
CPU_SECONDS_MAX = 5
WAIT_SECONDS_MAX = 30
"""More than work takes: one of the plans names the packaged model, whose 98 MB a busy disk reads in some seconds."""
FENCE = re.compile(r"^```\w+ file=(?P<name>\S+)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
FUZZED, CALLED = "fuzzed.plan.yaml", "called.plan.yaml"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Directories of plans: the examples, the demo, and the page on plans."""
    top = tmp_path_factory.mktemp("fuzz")
    directories = sorted(path.parent for path in (ROOT / "examples").glob("*/*.plan.yaml"))
    directories.append(ROOT / "src" / "tenuto" / "demo" / "plan")
    found = []
    for directory in dict.fromkeys(directories):
        unwanted = shutil.ignore_patterns("__pycache__", ".tenuto", "sample")
        found.append(Path(shutil.copytree(directory, top / directory.name, ignore=unwanted)))
    page = top / "page"
    for match in FENCE.finditer((ROOT / "docs" / "plans.md").read_text("utf-8")):
        path = page / match["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(match["body"], "utf-8")
    return [*found, page]


@contextmanager
def in_time() -> Iterator[None]:
    """Raise TimeoutError where nothing ends, and where work takes too long, however busy the machine is."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end within {WAIT_SECONDS_MAX} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, WAIT_SECONDS_MAX)
    began = time.process_time()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if (took := time.process_time() - began) > CPU_SECONDS_MAX:
            raise TimeoutError(f"it took {took:.1f} s of the processor, at most {CPU_SECONDS_MAX} are allowed")


def outcome(settings: Settings, path: Path) -> str:
    """`ok` or `refused`. Whatever else happens comes through."""
    try:
        with in_time():
            asyncio.run(check_plan(settings, path, path.parent))
    except UsageError as error:
        problems = error.errors if isinstance(error, InvalidPlanError) else (error,)
        lines = str(error).split("\n")
        assert len(lines) == len(problems) <= 20, lines
        for one, line in zip(problems, lines, strict=True):
            assert one.what, line
            assert one.where, line
            assert one.fix, line
            assert len(line) < 2_000, line[:2_000]
            assert line.isprintable(), line
        return "refused"
    return "ok"


def fuzz(make: Callable[[str], tuple[Path, bytes]], seeds: range) -> tuple[Counter[str], float]:
    """Check what `make` writes for each seed: how it ended, and the longest time. AssertionError names seeds."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    longest = 0.0
    settings: dict[Path, Settings] = {}
    for seed in seeds:
        path, data = make(str(seed))
        began = time.perf_counter()
        try:
            counts[outcome(settings.setdefault(path.parent, read_settings(path.parent, {}, {})), path)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            wrong.append(f"seed {seed}, {path.parent.name}: {type(error).__name__}: {error}\n    {data[:300]!r}")
        longest = max(longest, time.perf_counter() - began)
    assert not wrong, f"{len(wrong)} of {len(seeds)}:\n" + "\n".join(wrong[:10])
    return counts, longest


def plan_maker(sources: list[Path]) -> Callable[[str], tuple[Path, bytes]]:
    plans = [path for directory in sources for path in sorted(directory.glob("*.plan.yaml"))]
    plans = [path for path in plans if path.name not in (FUZZED, CALLED)]

    def make(seed: str) -> tuple[Path, bytes]:
        original = plans[int(seed) % len(plans)]
        directory = original.parent
        beside = [path.name for path in plans if path.parent == directory]
        data = mutated_plan(original.read_text("utf-8"), seed, [FUZZED, CALLED, *beside])
        (directory / FUZZED).write_bytes(data)
        # What it may call is a plan that calls it.
        (directory / CALLED).write_text(f"tenuto: 1\nsteps: {{ back: {{ plan: {FUZZED} }} }}\n")
        return directory / FUZZED, data

    return make


def agent_maker(sources: list[Path], tmp_path: Path) -> Callable[[str], tuple[Path, bytes]]:
    agents = [path for directory in sources for path in sorted(directory.glob("agents/*.md"))]
    plan = tmp_path / "agent.plan.yaml"
    plan.write_text('tenuto: 1\nagents: [agents/*.md]\nsteps: { ask: { prompt: "hi", agent: fuzzed } }\n')
    (tmp_path / "agents").mkdir()

    def make(seed: str) -> tuple[Path, bytes]:
        data = mutated_agent(agents[int(seed) % len(agents)].read_text("utf-8"), seed)
        (tmp_path / "agents" / "fuzzed.md").write_bytes(data)
        return plan, data

    return make


BATTERY = [pytest.mark.battery, pytest.mark.timeout(1_800)]


@pytest.mark.parametrize("seeds", [range(300), pytest.param(range(300, 5_300), marks=BATTERY)], ids=["300", "5000"])
def test_wrong_plans_are_refused_in_lines(sources: list[Path], seeds: range, figure: Callable[[str], None]) -> None:
    counts, longest = fuzz(plan_maker(sources), seeds)
    assert counts["refused"] > len(seeds) / 2, counts
    figure(f"{len(seeds)} plan files fuzzed: {dict(counts)}, the longest took {longest:.2f} s")


@pytest.mark.parametrize("seeds", [range(150), pytest.param(range(150, 5_150), marks=BATTERY)], ids=["150", "5000"])
def test_wrong_agents_are_refused_in_lines(
    sources: list[Path], seeds: range, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    counts, longest = fuzz(agent_maker(sources, tmp_path), seeds)
    assert counts["refused"] > len(seeds) / 3, counts
    figure(f"{len(seeds)} agent files fuzzed: {dict(counts)}, the longest took {longest:.2f} s")


@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(100, 150), marks=BATTERY)], ids=["4", "50"])
def test_the_command_ends_with_a_documented_code(sources: list[Path], seeds: range) -> None:
    make = plan_maker(sources)
    program = Path(sysconfig.get_path("scripts")) / "tenuto"
    for seed in seeds:
        path, _ = make(str(seed))
        done = subprocess.run(
            [program, "check", path.name], cwd=path.parent, capture_output=True, timeout=30, check=False
        )
        said = done.stderr.decode()
        assert done.returncode in (0, 2), (seed, said)
        assert "Traceback" not in said, (seed, said)
        assert (done.returncode == 0) != said.startswith("tenuto: "), (seed, said)
