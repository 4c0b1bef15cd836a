"""Cancelled by another process: after the record of it no call starts, by the journal and by the server's count."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from tenuto.testing.outside import CommandLine, ServerProcess

PLAN = """\
tenuto: 1
name: long
defaults: { model: "openai:m", max_tokens: 32 }
steps:
  many: { foreach: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], prompt: "Say ${{ item }}." }
  last: { needs: [many], prompt: "End ${{ steps.many.output }}" }
"""


def test_after_a_cancel_no_call_starts(project: Path, tmp_path: Path, figure: Callable[[str], None]) -> None:
    (project / "long.plan.yaml").write_text(PLAN)
    with ServerProcess(faults=("slow:1000%1",)) as server:
        tenuto = CommandLine(tmp_path / "store", directory=project, environment=server.environment)
        engine = tenuto.start("run", "long.plan.yaml", "--run", "r", "--max-parallel", "2")
        server.wait_counted(3)
        cancelled = tenuto.call("cancel", "r")
        ended = tenuto.finish(engine)
        counted = server.counts()["counted"]
    assert cancelled.exit in (0, 1), cancelled
    assert (ended.exit, ended.data["status"]) == (1, "cancelled")
    kinds = [record["kind"] for record in tenuto.records("r")]
    at = kinds.index("RunCancelled")
    assert "ModelCallRequested" not in kinds[at:]
    requested = kinds.count("ModelCallRequested")
    assert counted == requested < 13
    assert ended.data["budget"]["reserved"] == {}
    assert tenuto.call("replay", "r").exit == 0
    figure(f"cancelled by another process: {requested} calls before it by journal and server, 0 after")


WIDE = """\
tenuto: 1
name: wide
defaults: { model: "openai:m", max_tokens: 32 }
steps:
  many: { foreach: "${{ inputs.items }}", prompt: "Say ${{ item }}." }
  last: { needs: [many], prompt: "End ${{ steps.many.output }}" }
inputs: { items: { type: array } }
"""
GRACE_S = 15
"""Within this time after a cancel everything has ended: the engine's own grace, and a busy machine."""


def test_a_cancel_during_64_calls_ends_all_of_them(
    project: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    (project / "wide.plan.yaml").write_text(WIDE)
    items = json.dumps(list(range(100)))
    with ServerProcess(faults=("slow:20000%1",)) as server:
        tenuto = CommandLine(tmp_path / "store", directory=project, environment=server.environment)
        engine = tenuto.start(
            "run", "wide.plan.yaml", "--run", "r", "--max-parallel", "64", "--input", f"items={items}"
        )
        server.wait_counted(64)
        begun = time.monotonic()
        cancelled = tenuto.call("cancel", "r")
        ended = tenuto.finish(engine)
        took_s = time.monotonic() - begun
        counted = server.counts()["counted"]
    assert cancelled.exit in (0, 1), cancelled
    assert (ended.exit, ended.data["status"]) == (1, "cancelled")
    kinds = [record["kind"] for record in tenuto.records("r")]
    assert "ModelCallRequested" not in kinds[kinds.index("RunCancelled") :]
    assert counted == kinds.count("ModelCallRequested") == kinds.count("CallLost") == 64
    assert took_s < GRACE_S
    assert tenuto.call("replay", "r").exit == 0
    figure(f"cancelled during 64 open calls: none starts after it, all ended in {took_s:.1f} s")
