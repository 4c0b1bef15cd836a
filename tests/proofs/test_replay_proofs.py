"""Runs of parallel agents replay to the same bytes, offline, with no tool started; a changed prompt is found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tenuto.testing.outside import CommandLine

MIXED = "mixed.plan.yaml"
battery = pytest.mark.battery

_INTERNET = re.compile(r"connect\(.*AF_INET6?\b")


def isolated(tenuto: CommandLine, log: Path) -> CommandLine:
    """The same command line without a network and under the eyes of strace. Skips where the machine has neither."""
    network = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    prefix = (*network, "--", "strace", "-f", "-qq", "-e", "trace=connect,execve", "-o", str(log))
    if not all(map(shutil.which, ("strace", "unshare"))):
        pytest.skip("strace and unshare are needed")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace or unshare is not allowed here")
    return CommandLine(tenuto.store, directory=tenuto.directory, environment=tenuto.environment, prefix=prefix)


@pytest.mark.sandbox
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("parallel", "runs"),
    [(4, 2), *(pytest.param(parallel, 20, marks=battery) for parallel in (1, 4, 16))],
)
def test_replay_is_identical_offline_and_starts_nothing(
    tenuto: CommandLine, tmp_path: Path, figure: Callable[[str], None], parallel: int, runs: int
) -> None:
    log = tmp_path / "strace.log"
    offline = isolated(tenuto, log)
    records, results, journals, connects, starts = 0, set(), set(), 0, 0
    for number in range(runs):
        run = f"r{number}"
        ran = tenuto.call("run", MIXED, "--run", run, "--seed", "s", "--max-parallel", str(parallel))
        assert ran.exit == 0, ran
        replayed = offline.call("replay", run)
        assert replayed.exit == 0, replayed
        assert replayed.data["identical"] is True
        assert replayed.data["unchecked"] == []
        assert replayed.data["divergence"] is None
        assert replayed.data["journal_digest"] == ran.data["journal_digest"]
        seen = log.read_text("utf-8", "replace")
        connects += len(_INTERNET.findall(seen))
        starts += seen.count("execve(") - 1
        records += replayed.data["events"]
        results.add(ran.data["result_digest"])
        journals.add(ran.data["journal_digest"])
    figure(
        f"replay, {parallel} in parallel: {runs} of {runs} identical, {records} records, {connects} connections, "
        f"{starts} processes started, {len(journals)} journals, {len(results)} result"
    )
    assert connects == 0
    assert starts == 0
    assert len(results) == 1


@pytest.mark.sandbox
def test_the_counters_would_see_a_connection_and_a_process(tenuto: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "strace.log"
    offline = isolated(tenuto, log)
    offline.environment |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "none"}
    (tenuto.directory / "both.plan.yaml").write_text(
        "tenuto: 1\nsteps:\n  list: { run: ls }\n  say: { prompt: Hello., retry: { tries: 1 } }\n"
    )
    offline.call("run", "both.plan.yaml", "--run", "r", "--model", "openai:m")
    seen = log.read_text("utf-8", "replace")
    assert len(_INTERNET.findall(seen)) > 0
    assert seen.count("execve(") > 1


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("prompt", "call"),
    [
        ("note.md", "notes[0]/1/0"),
        pytest.param("survey.md", "survey/1/0", marks=battery),
        pytest.param("report.md", "report/1/0", marks=battery),
    ],
)
def test_one_changed_character_of_a_prompt_is_found_at_its_call(
    tenuto: CommandLine, figure: Callable[[str], None], prompt: str, call: str
) -> None:
    assert tenuto.call("run", MIXED, "--run", "r").exit == 0
    same = tenuto.call("replay", "r", "--against", ".")
    assert same.exit == 0, same
    path = tenuto.directory / "prompts" / prompt
    text = path.read_text()
    path.write_text(text[0].swapcase() + text[1:])
    changed = tenuto.call("replay", "r", "--against", ".")
    assert changed.exit == 5, changed
    found = changed.data["divergence"]
    assert found["call"] == call
    assert found["step"] == call.split("/")[0]
    assert found["recorded"] != found["current"]
    record = tenuto.records("r")[found["seq"]]
    assert record["kind"] == "ModelCallRequested"
    assert record["data"]["call"] == call
    figure(f"one changed character of {prompt}: exit 5 at seq {found['seq']}, call {found['call']}, {found['what']}")
    assert tenuto.call("replay", "r").exit == 0
