"""An effect on the world is never silently made twice: after a kill a person is asked, and the answer counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tenuto.testing.outside import CommandLine

PLAN = """\
tenuto: 1
name: deploy
steps:
  build: {{ run: "echo built > built.txt" }}
  ship:
    needs: [build]
    run: "echo shipped >> {log}; sleep 1; echo done"
    grants: {{ write: ["{directory}"] }}
  tell: {{ needs: [ship], prompt: Tell them. }}
outputs: {{ told: "${{{{ steps.tell.output }}}}" }}
"""


@pytest.mark.sandbox
@pytest.mark.parametrize("answer", ["--done", pytest.param("--not-done", marks=pytest.mark.battery)])
def test_an_effect_in_doubt_waits_for_a_person(
    project: Path, tmp_path: Path, figure: Callable[[str], None], answer: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    log = outside / "log"
    (project / "deploy.plan.yaml").write_text(PLAN.format(log=log, directory=outside))
    tenuto = CommandLine(tmp_path / "store", directory=project)
    engine = tenuto.start("run", "deploy.plan.yaml", "--run", "r", "--seed", "s")
    end = time.monotonic() + 30
    while not log.exists() and engine.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    engine.kill()
    engine.communicate()
    assert log.read_text().count("shipped") == 1
    for _ in range(2):
        waiting = tenuto.call("resume", "r")
        assert waiting.exit == 4, waiting
        assert waiting.data["status"] == "waiting"
        assert waiting.data["waiting_for"] == ["ship/1/0"]
        assert log.read_text().count("shipped") == 1
    assert tenuto.call("resolve", "r", "ship/1/0", answer).exit == 0
    ended = tenuto.call("resume", "r")
    assert ended.exit == 0, ended
    expected = 1 if answer == "--done" else 2
    assert log.read_text().count("shipped") == expected
    assert tenuto.call("replay", "r").exit == 0
    assert log.read_text().count("shipped") == expected
    figure(f"killed inside an outside effect: exit 4 until {answer}, then ok; made {expected} time(s), as was said")
