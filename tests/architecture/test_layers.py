"""What may import what, and what the kernel may not do at all."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tenuto"

FORBIDDEN_CALLS = {
    "open": "reads or writes the outside",
    "print": "writes the outside",
    "input": "reads the outside",
    "breakpoint": "waits for a person",
    "__import__": "depends on what is installed",
    "eval": "runs data",
    "exec": "runs data",
    "compile": "runs data",
    "hash": "differs from process to process for strings",
    "id": "differs from process to process",
}


def test_the_contracts_on_imports_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout


def calls(source: str, names: frozenset[str]) -> list[tuple[int, str]]:
    """Line and name of every use of a name as a plain name, called or not (`map(hash, ...)` is a use)."""
    used = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return [(node.lineno, node.id) for node in used if node.id in names and isinstance(node.ctx, ast.Load)]


@pytest.mark.parametrize("module", sorted((SOURCE / "core").rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_the_kernel_uses_no_builtin_that_reaches_outside(module: Path) -> None:
    found = calls(module.read_text("utf-8"), frozenset(FORBIDDEN_CALLS))
    assert not found, [f"{module}:{line}: {name} {FORBIDDEN_CALLS[name]}" for line, name in found]


def test_the_search_for_builtins_finds_them() -> None:
    source = "def f(a):\n    return sorted(a, key=hash) or open('x')\n"
    assert sorted(calls(source, frozenset(FORBIDDEN_CALLS))) == [(2, "hash"), (2, "open")]
