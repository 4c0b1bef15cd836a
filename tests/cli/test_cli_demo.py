"""The demo, on a small repository: everything it claims must hold."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenuto import ports

pytestmark = pytest.mark.sandbox

Tenuto = Callable[..., Any]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of real modules: a part of our own."""
    root = tmp_path / "repository"
    shutil.copytree(Path(ports.__file__).parents[1] / "runtime", root / "runtime", ignore=lambda *_: ["__pycache__"])
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=root, check=True, capture_output=True)
    return root


def test_the_demo_holds_on_a_git_repository(tenuto: Tenuto, repository: Path, tmp_path: Path) -> None:
    said = tenuto("demo", "--repo", repository, "--keep", tmp_path / "kept", "--json")
    assert said.code == 0, said.err
    told = said.object
    assert told["identical"] is True
    assert 0 < told["replies_before_kill"] < told["replies"]
    clone = Path(told["directory"])
    shown = ["git", "show", f"{told['branch']}:{told['page']}"]
    page = subprocess.run(shown, cwd=clone, check=True, capture_output=True, text=True).stdout
    assert "runtime/engine.py" in page
    assert sorted(path.name for path in repository.iterdir()) == [".git", "runtime"]


def test_the_demo_tells_its_story_on_a_plain_directory(tenuto: Tenuto, repository: Path, tmp_path: Path) -> None:
    (repository / ".git").rename(tmp_path / "no-git")
    said = tenuto("demo", "--repo", repository, "--keep", tmp_path / "kept")
    assert said.code == 0, said.err
    for act in ("copied", "killed", "resumed", "replayed", "applied"):
        assert f" s  {act} " in said.out
    assert "tenuto show r-demo-" in said.out
    assert (tmp_path / "kept" / "repository" / "MODULES.md").exists()


def test_the_demo_says_why_it_cannot_show_anything(tenuto: Tenuto, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = tenuto("demo", "--repo", tmp_path / "empty", "--keep", tmp_path / "kept")
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert "nothing to survey" in line
    assert str(tmp_path / "kept" / "demo.log") in line
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "a.py").write_text("x = 1\n")
    said = tenuto("demo", "--repo", tmp_path / "small")
    assert said.code == 1
    assert "ended before it could be killed" in said.err


def test_the_demo_refuses_a_directory_in_use(tenuto: Tenuto, repository: Path) -> None:
    said = tenuto("demo", "--repo", repository, "--keep", repository)
    assert said.code == 2
    assert "not empty" in said.err
    assert tenuto("demo", "--repo", repository / "none").code == 2
