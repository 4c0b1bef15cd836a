"""Small, usual and large plans end well; the demo's plan runs over packages that people know."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pytest

from tenuto.testing.outside import CommandLine

CHAINS = 10
battery = pytest.mark.battery


def write_plan(path: Path, steps: int) -> None:
    """Ten chains side by side, and a last step that needs their ends."""
    lines = ["tenuto: 1", "name: wide", 'defaults: { model: "mock:x", max_tokens: 64 }', "steps:"]
    ends = []
    for number in range(steps - 1):
        before = number - CHAINS
        needs, shown = (
            (f"needs: [s{before}], ", f" after ${{{{ steps.s{before}.output }}}}") if before >= 0 else ("", "")
        )
        lines.append(f'  s{number}: {{ {needs}prompt: "Say {number}{shown}" }}')
        if number + CHAINS >= steps - 1:
            ends.append(f"s{number}")
    lines += [
        f"  last: {{ needs: [{', '.join(ends)}], prompt: Sum up. }}",
        'outputs: { sum: "${{ steps.last.output }}" }',
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("steps", [3, 30, pytest.param(3_000, marks=battery)])
def test_plans_of_every_size_end_well(tenuto: CommandLine, figure: Callable[[str], None], steps: int) -> None:
    write_plan(tenuto.directory / "wide.plan.yaml", steps)
    ran = tenuto.call("run", "wide.plan.yaml", "--run", "r", "--max-parallel", "16")
    assert ran.exit == 0, ran
    assert len(ran.data["steps"]) == steps
    assert {step["status"] for step in ran.data["steps"]} == {"completed"}
    size = sum(path.stat().st_size for path in tenuto.store.rglob("*") if path.is_file())
    replayed = tenuto.call("replay", "r")
    assert replayed.exit == 0, replayed
    figure(
        f"a plan of {steps} steps: ok in {ran.seconds:.2f} s, store {size / 1024:.0f} KiB, "
        f"{replayed.data['events']} records, replayed in {replayed.seconds:.2f} s"
    )


def package(name: str, directory: Path) -> Path:
    """The files of a package: of the installed one, or else downloaded. Skips where there is neither."""
    target = directory / name
    if name == "click":
        installed = Path(str(distribution(name).locate_file(name)))
        shutil.copytree(installed, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        return target
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-input", "-d", str(directory), name]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=90)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name} cannot be downloaded in time")
    wheels = sorted(directory.glob(f"{name}-*.whl"))
    if done.returncode != 0 or not wheels:
        pytest.skip(f"{name} cannot be downloaded here")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(target)
    return target


@pytest.mark.sandbox
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("click", "mock:"),
        pytest.param("requests", "mock:", marks=battery),
        pytest.param("click", "local:", marks=[battery, pytest.mark.local]),
        pytest.param("requests", "local:", marks=[battery, pytest.mark.local]),
    ],
)
def test_the_demo_plan_over_a_known_package(
    tmp_path: Path, figure: Callable[[str], None], name: str, model: str
) -> None:
    repository = package(name, tmp_path)
    tenuto = CommandLine(tmp_path / "store", directory=repository, timeout_s=800)
    plan = str(files("tenuto.demo").joinpath("plan", "demo.plan.yaml"))
    ran = tenuto.call("run", plan, "--run", "r", "--repo", ".", "--model", model)
    assert ran.exit == 0, ran
    assert not (repository / "MODULES.md").exists()
    replayed = tenuto.call("replay", "r")
    assert replayed.exit == 0, replayed
    assert replayed.data["unchecked"] == []
    applied = tenuto.call("apply", "r")
    assert applied.exit == 0, applied
    page = (repository / "MODULES.md").read_text()
    spent = ran.data["budget"]["spent"]
    figure(
        f"the demo over {name} with {model} {ran.seconds:.1f} s, {spent['model_calls']} calls, "
        f"{spent['tokens']} tokens, "
        f"MODULES.md of {len(page.splitlines())} lines, replay identical in {replayed.seconds:.2f} s"
    )
    assert f"{name}/__init__.py" in page or "`" in page
