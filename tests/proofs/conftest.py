"""What the proofs share: a project to run over, the figures they print, the mixed plan."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tenuto.testing.outside import CommandLine


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say a figure: it is printed when all tests have ended."""
    return lambda line: request.node.user_properties.append(("figure", line))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository that holds the mixed plan and some files."""
    directory = tmp_path / "project"
    shutil.copytree(Path(__file__).parent / "plans", directory, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


@pytest.fixture
def tenuto(project: Path, tmp_path: Path) -> CommandLine:
    """The command line in the project, with a store beside it."""
    return CommandLine(tmp_path / "store", directory=project)
