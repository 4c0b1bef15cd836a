"""What the world does wrong, from outside: full disks, damaged and newer stores, names of nothing, odd characters."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenuto.testing.outside import CommandLine, ServerProcess

battery = pytest.mark.battery
VERBS = ("resume", "show", "events", "replay", "verify", "cancel", "budget", "artifacts", "apply")
"""What is done with a run by its name; the fast tests try the first ones."""
MIXED = ("run", "mixed.plan.yaml", "--run", "r", "--seed", "s")


def digests(store: Path) -> dict[str, str]:
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


# --- no room ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.sandbox
@pytest.mark.parametrize("free", [120, *(pytest.param(free, marks=battery) for free in (0, 40, 400))])
def test_a_full_disk_stops_a_run_that_then_goes_on(
    project: Path, tmp_path: Path, small_disk: Path, figure: Callable[[str], None], free: int
) -> None:
    """`free` KiB are left when the run starts."""
    whole = CommandLine(tmp_path / "whole", directory=project)
    expected = whole.call(*MIXED)
    assert expected.exit == 0, expected
    tenuto = CommandLine(small_disk / "store", directory=project, environment=whole.environment)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * ((1_024 - free) * 1_024))
    stopped = tenuto.call(*MIXED)
    assert stopped.exit == 7, stopped
    assert stopped.error["what"]
    assert stopped.error["fix"]
    assert "Traceback" not in stopped.stderr
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    started = tenuto.call("show", "r").exit == 0
    ended = tenuto.call("resume", "r") if started else tenuto.call(*MIXED)
    assert ended.exit == 0, ended
    assert ended.data["result_digest"] == expected.data["result_digest"]
    assert tenuto.call("replay", "r").exit == 0
    figure(f"a disk with {free} KiB free: exit 7 ({stopped.error['what']}), then the same result")


@pytest.mark.sandbox
@pytest.mark.parametrize("limit", [60_000, *(pytest.param(size, marks=battery) for size in (1_000, 20_000, 110_000))])
def test_a_limit_of_file_sizes_stops_a_run_that_then_goes_on(
    project: Path, tmp_path: Path, figure: Callable[[str], None], limit: int
) -> None:
    whole = CommandLine(tmp_path / "whole", directory=project)
    expected = whole.call(*MIXED)
    limited = CommandLine(
        tmp_path / "store",
        directory=project,
        environment=whole.environment,
        prefix=("prlimit", f"--fsize={limit}", "--"),
    )
    stopped = limited.call(*MIXED)
    assert stopped.exit == 7, stopped
    assert "Traceback" not in stopped.stderr
    tenuto = CommandLine(limited.store, directory=project, environment=whole.environment)
    started = tenuto.call("show", "r").exit == 0
    ended = tenuto.call("resume", "r") if started else tenuto.call(*MIXED)
    assert ended.exit == 0, ended
    assert ended.data["result_digest"] == expected.data["result_digest"]
    figure(f"files of at most {limit} bytes: exit 7 ({stopped.error['what']}), then the same result")


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.sandbox
@pytest.mark.timeout(900)
@pytest.mark.parametrize("flips", [4, pytest.param(120, marks=battery)])
def test_a_flipped_bit_is_named_or_harmless(
    tenuto: CommandLine, tmp_path: Path, figure: Callable[[str], None], flips: int
) -> None:
    ran = tenuto.call(*MIXED)
    assert ran.exit == 0, ran
    events = tenuto.call("events", "r").stdout
    draw = random.Random(7)
    stored = (tenuto.store / "journal.db").read_bytes()
    outcomes: Counter[tuple[int, ...]] = Counter()
    for _ in range(flips):
        copy = CommandLine(tmp_path / "damaged", directory=tenuto.directory, environment=tenuto.environment)
        shutil.copytree(tenuto.store, copy.store)
        damaged = bytearray(stored)
        place = draw.randrange(len(damaged))
        damaged[place] ^= 1 << draw.randrange(8)
        (copy.store / "journal.db").write_bytes(damaged)
        verified, replayed, listed = copy.call("verify", "r"), copy.call("replay", "r"), copy.call("events", "r")
        for answer in (verified, replayed):
            assert answer.exit in (0, 7), (place, answer)
            assert "Traceback" not in answer.stderr
        for answer in (verified, replayed):
            if answer.exit == 0:
                assert answer.data["journal_digest"] == ran.data["journal_digest"], (place, answer)
        if replayed.exit == 0:
            assert replayed.data["identical"] is True
        assert listed.exit == 7 or (listed.exit == 0 and listed.stdout == events), (place, listed)
        outcomes[verified.exit, replayed.exit, listed.exit] += 1
        shutil.rmtree(copy.store)
    figure(f"{flips} flipped bits in the journal (verify, replay, events): {dict(outcomes)}; never another answer")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("flips", [3, pytest.param(80, marks=battery)])
def test_a_log_that_lost_its_end_is_named(
    project: Path, tmp_path: Path, figure: Callable[[str], None], flips: int
) -> None:
    """After a kill the newest records are in SQLite's log, which it cuts without a word at the first bad frame."""
    (project / "list.plan.yaml").write_text(
        'tenuto: 1\nsteps:\n  a: { foreach: [1, 2, 3, 4, 5, 6, 7, 8], prompt: "Say ${{ item }}.", max_tokens: 64 }\n'
    )
    with ServerProcess(faults=("hang@8",)) as server:
        tenuto = CommandLine(tmp_path / "store", directory=project, environment=server.environment)
        engine = tenuto.start("run", "list.plan.yaml", "--run", "r", "--model", "openai:m", "--max-parallel", "1")
        server.wait_counted(8)
        engine.kill()
        engine.communicate()
    log = (tenuto.store / "journal.db-wal").read_bytes()
    assert len(log) > 8_192
    whole = CommandLine(tmp_path / "whole", directory=project)
    shutil.copytree(tenuto.store, whole.store)
    expected = whole.call("events", "r").stdout
    assert expected.count("ModelReplied") == 7
    assert whole.call("verify", "r").exit == 0
    draw = random.Random(11)
    outcomes: Counter[tuple[int, int]] = Counter()
    for number in range(flips):
        copy = CommandLine(tmp_path / "damaged", directory=project)
        shutil.copytree(tenuto.store, copy.store)
        damaged = bytearray(log)
        place = draw.randrange(len(damaged))
        damaged[place] ^= 1 << draw.randrange(8)
        (copy.store / "journal.db-wal").write_bytes(damaged if number % 3 else damaged[:place])
        verified, listed = copy.call("verify", "r"), copy.call("events", "r")
        assert verified.exit in (0, 7), (place, verified)
        assert listed.exit == 7 or (listed.exit == 0 and listed.stdout == expected), (place, listed)
        if verified.exit == 0:
            assert listed.exit == 0, (place, listed)
        outcomes[verified.exit, listed.exit] += 1
        shutil.rmtree(copy.store)
    figure(
        f"{flips} flips and cuts of the log of a killed run (verify, events): {dict(outcomes)}; no lost end unnamed"
    )
    assert outcomes[7, 7] > 0


@pytest.mark.sandbox
def test_a_damaged_artifact_is_named(tenuto: CommandLine) -> None:
    (tenuto.directory / "large.plan.yaml").write_text(
        'tenuto: 1\ndefaults: { model: "mock:x?size=50000", max_tokens: 20000 }\nsteps:\n  a: { prompt: Hello. }\n'
    )
    assert tenuto.call("run", "large.plan.yaml", "--run", "r").exit == 0
    large = [
        path for path in (tenuto.store / "artifacts").rglob("*") if path.is_file() and path.stat().st_size > 40_000
    ]
    assert large
    for path in large:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
    for verb in ("verify", "show"):
        answer = tenuto.call(verb, "r")
        assert answer.exit == 7, (verb, answer)


@pytest.mark.parametrize("verbs", [3, pytest.param(len(VERBS), marks=battery)])
def test_a_newer_store_is_left_as_it_is(tenuto: CommandLine, figure: Callable[[str], None], verbs: int) -> None:
    (tenuto.directory / "one.plan.yaml").write_text("tenuto: 1\nsteps:\n  a: { prompt: Hello. }\n")
    assert tenuto.call("run", "one.plan.yaml", "--run", "r").exit == 0
    connection = sqlite3.connect(tenuto.store / "journal.db")
    connection.execute("PRAGMA user_version = 1000")
    connection.close()
    before = digests(tenuto.store)
    for words in (("run", "one.plan.yaml"), ("ls",), *((verb, "r") for verb in VERBS[:verbs])):
        answer = tenuto.call(*words)
        assert answer.exit == 7, (words, answer)
        assert answer.error["code"] == "newer_store", (words, answer)
    assert digests(tenuto.store) == before
    figure(f"a newer store: exit 7 from {verbs + 2} verbs, not a byte changed")


# --- names of nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbs", [3, pytest.param(len(VERBS), marks=battery)])
def test_unknown_runs_and_repositories_are_usage_errors(tenuto: CommandLine, verbs: int) -> None:
    (tenuto.directory / "one.plan.yaml").write_text("tenuto: 1\nsteps:\n  a: { prompt: Hello. }\n")
    lost = tenuto.call("run", "one.plan.yaml", "--repo", "nowhere")
    assert (lost.exit, lost.error["where"]) == (2, "nowhere")
    assert tenuto.call("run", "nothing.plan.yaml").exit == 2
    assert tenuto.call("show", "r").exit == 2
    assert tenuto.call("run", "one.plan.yaml", "--run", "r").exit == 0
    for verb in VERBS[:verbs]:
        answer = tenuto.call(verb, "unknown")
        assert answer.exit == 2, (verb, answer)
        assert answer.error["what"]
        assert answer.error["fix"]


# --- odd characters -----------------------------------------------------------------------------------------------

ODD = """\
tenuto: 1
inputs: { word: { type: string, default: plain } }
tools: ["python:odd"]
defaults: { model: "mock:echo" }
steps:
  prompt: { needs: [tool, raw], prompt: "Got ${{ steps.tool.output }} and ${{ steps.raw.output.stdout }}" }
  word: { prompt: "Say ${{ inputs.word }}" }
  raw: { run: "printf 'a\\\\000b\\\\377c\\\\355\\\\240\\\\200d'" }
  tool: { uses: "python:odd:step" }
outputs: { word: "${{ steps.word.output }}", raw: "${{ steps.raw.output }}", tool: "${{ steps.tool.output }}",
  prompt: "${{ steps.prompt.output }}" }
"""
ODD_CODE = """\
from tenuto.adapters.tools.functions import tool

@tool(effect="read")
def odd_text() -> str:
    "Give odd text."
    return "x\\x00y\\ud800z"

async def step(ctx, inputs):
    return await ctx.tool("odd_text")
"""


@pytest.mark.sandbox
def test_odd_characters_have_one_treatment_and_replay(tenuto: CommandLine, figure: Callable[[str], None]) -> None:
    (tenuto.directory / "odd.plan.yaml").write_text(ODD)
    (tenuto.directory / "odd.py").write_text(ODD_CODE)
    word = os.fsdecode(b"w\xffx\xed\xa0\x80y")
    ran = tenuto.call("run", "odd.plan.yaml", "--run", "r", "--input", f"word={word}")
    assert ran.exit == 0, ran
    outputs = ran.data["outputs"]
    assert outputs["word"] == "Say w\ufffdx\ufffd\ufffd\ufffdy"
    assert outputs["tool"] == "x\x00y\ufffdz"
    assert outputs["prompt"] == f"Got {outputs['tool']} and {outputs['raw']['stdout']}"
    assert outputs["raw"]["stdout"].startswith("a\x00b\ufffdc")
    assert outputs["raw"]["stdout"].endswith("d")
    replayed = tenuto.call("replay", "r")
    assert replayed.exit == 0, replayed
    assert tenuto.call("replay", "r", "--against", ".").exit == 0
    (tenuto.directory / "odd.md").write_bytes(b"A NUL \x00 in a file.\n")
    (tenuto.directory / "file.plan.yaml").write_text("tenuto: 1\nsteps:\n  a: { prompt: odd.md }\n")
    refused = tenuto.call("run", "file.plan.yaml")
    assert (refused.exit, refused.error["where"]) == (2, "odd.md:1:7")
    figure(f"odd characters: prompt, input, command and tool; outputs {outputs['word']!r}, {outputs['tool']!r}")
