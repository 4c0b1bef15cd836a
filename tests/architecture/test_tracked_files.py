"""What no file of the repository may hold, and how long a module may be."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES_MAX = 600

# Written in pieces, so that this file does not hold what it forbids.
REGISTRIES = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"))
]
REGISTRIES += [".".join(("deb", "debian", "org")), ".".join(("security", "debian", "org"))]
PLACES = re.compile(r"(?<![\w./-])/" + r"work/(?:main|shared|\.\w+)")
MARKERS = re.compile(r"#\s*(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")


@cache
def texts() -> dict[str, str]:
    """Every tracked text file that is still there, by path."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    found: dict[str, str] = {}
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if b"\0" not in data:
                found[name] = data.decode("utf-8", "replace")
    return found


def test_there_are_files_to_look_at() -> None:
    assert "pyproject.toml" in texts()
    assert len(texts()) > 20


def test_no_file_names_a_package_registry() -> None:
    found = [(name, host) for name, text in texts().items() for host in REGISTRIES if host in text]
    assert not found


def test_no_file_names_a_place_on_the_machine_it_was_written_on() -> None:
    found = [(name, match.group()) for name, text in texts().items() for match in PLACES.finditer(text)]
    assert not found


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    modules = sorted((ROOT / "src").rglob("*.py"))
    lengths = {str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n") for path in modules}
    assert not {name: lines for name, lines in lengths.items() if lines > LINES_MAX}


def test_nothing_is_left_to_be_done_in_the_source() -> None:
    source = {name: text for name, text in texts().items() if name.startswith("src/")}
    found = [(name, match.group()) for name, text in source.items() for match in MARKERS.finditer(text)]
    assert not found
