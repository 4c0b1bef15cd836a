"""`keep` and `reads` from the plan to the files that commands find and leave."""

from __future__ import annotations

from pathlib import Path

from .conftest import Tenuto

KEEP = """\
tenuto: 1
steps:
  install: { run: "mkdir -p deps/lib && echo 1 > deps/lib/a && echo 2 > deps/log.txt", keep: [deps/lib/] }
  use: { needs: [install], run: "find deps -type f | sort" }
outputs: { found: "${{ steps.use.output.stdout }}" }
"""
READS = """\
tenuto: 1
steps:
  part:
    reads: [docs/]
    run: "find . -type f | sort && echo new > docs/new.md && rm docs/old.md && mkdir build && echo x > build/x"
  whole: { needs: [part], run: "find . -type f | sort" }
  blind: { needs: [whole], reads: [docs/], run: "echo blind > main.py", on_error: continue }
outputs:
  part: ${{ steps.part.output.stdout }}
  whole: ${{ steps.whole.output.stdout }}
  blind: ${{ steps.blind.error.kind }}
"""


def files(project: Path, plan: str) -> None:
    for name in ("greet.plan.yaml", "readme.txt", "tenuto.toml"):
        (project / name).unlink()
    (project / "p.plan.yaml").write_text(plan)
    (project / ".gitignore").write_text("deps/\nbuild/\n*.plan.yaml\n")


def test_ignored_files_that_a_step_keeps_reach_the_next_one(tenuto: Tenuto, project: Path) -> None:
    files(project, KEEP)
    assert tenuto("run", "p.plan.yaml", "--run", "r", "--json").object["outputs"] == {"found": "deps/lib/a\n"}
    assert tenuto("replay", "r").code == 0
    assert tenuto("apply", "r").code == 0
    assert (project / "deps/lib/a").read_text() == "1\n"
    assert tenuto("apply", "r", "--json").object["status"] == "unchanged"


def test_a_step_sees_what_it_reads_and_its_changes_come_into_the_whole(tenuto: Tenuto, project: Path) -> None:
    files(project, READS)
    for path in ("docs/a.md", "docs/old.md", "main.py"):
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_text(path)
    ran = tenuto("run", "p.plan.yaml", "--run", "r", "--json").object
    assert ran["outputs"] == {
        "part": "./.gitignore\n./docs/a.md\n./docs/old.md\n",
        "whole": "./.gitignore\n./docs/a.md\n./docs/new.md\n./main.py\n",
        "blind": "merge_conflict",
    }
    assert tenuto("replay", "r").code == 0
    assert tenuto("checkout", "r", "part", "out").code == 0
