"""Cancelled by another process: after the record of it no call starts, by the journal and by the server's count."""

from __future__ import annotations

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
