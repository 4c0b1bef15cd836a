"""A recorded run elsewhere: other hash seeds, time zones, locales, clocks, paths, masks and processors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tenuto.testing.outside import CommandLine

CLOCK = """\
import time

_off_s = 10 * 365 * 86_400
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {sign} * _off_s
time.time_ns = lambda: _time_ns() + {sign} * _off_s * 10**9
"""

CHECKER = r"""
import hashlib, json, sys

data = open(sys.argv[1], "rb").read()
at = 0

def line():
    global at
    end = data.index(b"\n", at)
    found, at = data[at:end], end + 1
    return found

def value(name):
    key, _, rest = line().partition(b" ")
    assert key == name, key
    return rest

assert line() == b"tenuto bundle 1"
head, run = value(b"head").decode(), value(b"run")
count, blobs = int(value(b"records")), int(value(b"blobs"))
prev, seen = "0" * 64, 0
for number in range(count):
    body = line()
    record = json.loads(body)
    assert record["seq"] == number
    assert record["prev"] == prev, number
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    assert text == body, number
    prev = hashlib.sha256(body).hexdigest()
assert prev == head
for _ in range(blobs):
    digest, _, length = line().partition(b" ")
    blob = data[at : at + int(length)]
    at += int(length) + 1
    assert hashlib.sha256(blob).hexdigest().encode() == digest
    seen += 1
assert at == len(data)
print(sys.version_info[:2], count, seen, prev)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, its store, and a finished run of every kind of work, exported."""
    home = tmp_path_factory.mktemp("portable")
    shutil.copytree(Path(__file__).parent / "table", home / "project", ignore=shutil.ignore_patterns("__pycache__"))
    tenuto = CommandLine(home / "store", directory=home / "project")
    assert tenuto.call("run", "team.plan.yaml", "--run", "r", "--no-sandbox").exit == 4
    assert tenuto.call("approve", "r", "agree/1/0").exit == 0
    assert tenuto.call("resume", "r").exit == 0
    exported = tenuto.call("export", "r", str(home / "r.tenuto"))
    assert exported.exit == 0, exported
    return home


def shifted(directory: Path, sign: int) -> dict[str, str]:
    """An environment in which Python's clock is ten years off."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(CLOCK.format(sign=sign))
    return {"PYTHONPATH": str(directory)}


Elsewhere = tuple[dict[str, str], tuple[str, ...]]
PLACES: dict[str, Callable[[Path], Elsewhere]] = {
    "hash seed 0": lambda _: ({"PYTHONHASHSEED": "0"}, ()),
    "hash seed 4242": lambda _: ({"PYTHONHASHSEED": "4242"}, ()),
    "east": lambda _: ({"TZ": "XXX-14"}, ()),
    "west": lambda _: ({"TZ": "XXX+12"}, ()),
    "Turkish": lambda _: ({"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}, ()),
    "C": lambda _: ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ()),
    "ten years later": lambda path: (shifted(path / "clock", 1), ()),
    "ten years before": lambda path: (shifted(path / "clock", -1), ()),
    "mask": lambda _: ({}, ("sh", "-c", 'umask 077; exec "$@"', "sh")),
    "one processor": lambda _: ({}, ("taskset", "-c", "0")),
}


QUICK = ("hash seed 0", "Turkish", "ten years later")


@pytest.mark.parametrize("place", [p if p in QUICK else pytest.param(p, marks=pytest.mark.battery) for p in PLACES])
def test_a_run_replays_and_exports_to_the_same_bytes_elsewhere(place: str, home: Path, tmp_path: Path) -> None:
    environment, prefix = PLACES[place](tmp_path)
    if prefix and shutil.which(prefix[0]) is None:
        pytest.skip(f"{prefix[0]} is needed")
    there = tmp_path / "an other path"
    there.mkdir()
    tenuto = CommandLine(there / "störe", directory=there, environment=environment, prefix=prefix)
    taken = tenuto.call("import", str(home / "r.tenuto"))
    assert taken.exit == 0, taken
    replayed = tenuto.call("replay", "r")
    assert (replayed.exit, replayed.data["identical"]) == (0, True), replayed
    assert replayed.data["journal_digest"] == taken.data["head"]
    assert tenuto.call("export", "r", str(there / "again")).exit == 0
    assert (there / "again").read_bytes() == (home / "r.tenuto").read_bytes()
    whole = CommandLine(home / "store", directory=home / "project", environment=environment, prefix=prefix)
    checked = whole.call("replay", "r")
    assert (checked.exit, checked.data["identical"], checked.data["unchecked"]) == (0, True, []), checked


def test_the_clock_is_really_another(tmp_path: Path) -> None:
    environment = {**os.environ, **shifted(tmp_path / "clock", 1)}
    asked = [sys.executable, "-c", "from tenuto.adapters.clock import SystemClock; print(SystemClock().now_us())"]
    said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout
    assert int(said) / 1e6 - time.time() > 9 * 365 * 86_400


PYTHONS = [f"python3.{minor}" for minor in range(9, 16)]


@pytest.mark.parametrize("python", PYTHONS)
def test_another_python_comes_to_the_same_digests(
    python: str, home: Path, figure: Callable[[str], None], tmp_path: Path
) -> None:
    """With the standard library alone: every record's canonical bytes, the chain to the head, every body."""
    program = shutil.which(python)
    script = tmp_path / "check.py"
    script.write_text(CHECKER)
    if program is None or subprocess.run([program, "-V"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} is not here")
    done = subprocess.run([program, str(script), str(home / "r.tenuto")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figure(f"digests by another Python: {done.stdout.strip()}")
