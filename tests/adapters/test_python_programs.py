"""Step programs by name: found beside the plan, hashed by their source, refused in one line."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import pytest

from tenuto.adapters.programs import PythonPrograms
from tenuto.errors import UsageError

CODE = "value = 1\n\n\nasync def go(ctx, inputs):\n    return inputs\n\n\ndef plain(ctx, inputs):\n    return 1\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "programs_under_test.py").write_text(CODE)
    return tmp_path


def test_a_program_is_its_function_its_place_and_the_hash_of_its_source(directory: Path) -> None:
    program = PythonPrograms([directory]).load("python:programs_under_test:go")
    source = inspect.getsource(program.function)
    assert source.startswith("async def go")
    assert program.code == hashlib.sha256(source.encode()).hexdigest()
    assert program.where == "programs_under_test.py:4"


def test_the_first_directory_that_has_the_module_wins(directory: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert PythonPrograms([empty, directory]).load("python:programs_under_test:go").where.endswith(":4")


def test_an_installed_module_is_found_too(directory: Path) -> None:
    assert PythonPrograms([directory]).load("python:tenuto.demo.steps:survey").where.startswith("steps.py:")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("python:programs_under_test:gone", "no function gone"),
        ("python:programs_under_test:plain", "async def plain"),
        ("python:programs_under_test:value", "async def value"),
        ("python:not_there_at_all:go", "there is no module not_there_at_all"),
        ("python:programs_under_test", "python:module:function"),
        ("mcp:server/tool", "python:module:function"),
        ("python:programs under test:go", "python:module:function"),
    ],
)
def test_what_is_no_program_is_refused_in_one_line(directory: Path, target: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        PythonPrograms([directory]).load(target)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_that_fails_is_named_with_its_line(directory: Path) -> None:
    (directory / "broken_under_test.py").write_text("x = 1\nraise ValueError('no\\nway')\n")
    with pytest.raises(UsageError, match=r"broken_under_test\.py:2: ValueError: no way"):
        PythonPrograms([directory]).load("python:broken_under_test:go")
