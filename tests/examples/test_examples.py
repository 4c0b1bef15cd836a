"""The examples, beside what their pages say: every plan is whole, runs on a mock, and replays."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tenuto.app.checking import check_plan
from tenuto.app.config import read_settings
from tenuto.testing.outside import CommandLine

EXAMPLES = Path(__file__).parents[2] / "examples"
DIRECTORIES = sorted(path.parent for path in EXAMPLES.glob("*/README.md"))
PLANS = sorted(EXAMPLES.glob("*/*.plan.yaml"))
WHOLE = {
    "approval": "waiting",
    "by_agent": "ok",
    "migrate": "ok",
    "research": "ok",
    "review": "ok",
}
"""Plans that are run on their own, with how a run with `mock:` ends."""


def named(path: Path) -> str:
    return path.name.removesuffix(".plan.yaml")


def test_the_list_of_examples_has_all_of_them() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    assert len(DIRECTORIES) >= 6
    assert all(f"({directory.name}/README.md)" in page for directory in DIRECTORIES)


@pytest.mark.parametrize("path", PLANS, ids=named)
def test_a_plan_and_all_it_names_is_there(path: Path) -> None:
    found = asyncio.run(check_plan(read_settings(path.parent, {}), path, path.parent))
    assert found.ready.plan.steps
    text = path.read_text("utf-8")
    assert text.startswith("# "), "the first lines of a plan say what it is"
    inside = path.name in {"repair.plan.yaml", "investigate.plan.yaml", "by_hand.plan.yaml"}
    assert inside or found.ready.plan.budget.tokens is not None, "a plan that is copied has a budget"


@pytest.mark.sandbox
@pytest.mark.parametrize("name", WHOLE)
def test_with_a_mock_a_plan_ends_as_its_page_says_and_replays(name: str, tmp_path: Path) -> None:
    (path,) = (plan for plan in PLANS if named(plan) == name)
    sample = shutil.copytree(path.parent / "sample", tmp_path / "sample")
    tenuto = CommandLine(tmp_path / "store", directory=tmp_path)
    ran = tenuto.call("run", str(path), "--repo", str(sample), "--run", "r", "--model", "mock:")
    assert ran.data["status"] == WHOLE[name], ran
    replayed = tenuto.call("replay", "r")
    assert replayed.data["identical"], replayed
    assert not replayed.data["unchecked"]
