"""`tenuto check` reads the code of Python steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Tenuto = Callable[..., Any]

PLAN = "tenuto: 1\nsteps:\n  a: { uses: 'python:checked_work:go' }\n"
CODE = """\
from checked_helper import stamp


async def go(ctx, inputs):
    return [stamp(), ctx.now()]
"""


def project_of(project: Path, helper: str) -> Path:
    (project / "checked_work.py").write_text(CODE)
    (project / "checked_helper.py").write_text(helper)
    plan = project / "checked.plan.yaml"
    plan.write_text(PLAN)
    return plan


def test_a_reach_is_a_warning_with_its_place_and_the_call_to_use(project: Path, tenuto: Tenuto) -> None:
    project_of(project, "import datetime\n\ndef stamp():\n    return datetime.datetime.now().isoformat()\n")
    said = tenuto("check", "checked.plan.yaml")
    place = "checked_helper.py:4:12"
    assert said.code == 0
    assert said.err == f"warning: {place}: step a reaches a clock (datetime.datetime.now); use ctx.now()\n"
    assert said.out.startswith("ok: ")
    (warning,) = tenuto("check", "checked.plan.yaml", "--json").object["warnings"]
    assert warning == {
        "step": "a",
        "where": place,
        "what": "step a reaches a clock (datetime.datetime.now)",
        "fix": "use ctx.now()",
    }


def test_strict_makes_it_a_problem_beside_the_others(project: Path, tenuto: Tenuto) -> None:
    plan = project_of(project, "import random\n\ndef stamp():\n    return random.random()\n")
    said = tenuto("check", "checked.plan.yaml", "--strict")
    assert (said.code, said.out) == (2, "")
    assert said.err == "tenuto: checked_helper.py:4:12: step a reaches chance (random.random); use ctx.random()\n"
    plan.write_text(PLAN + "  b: { prompt: x, model: 'nowhere:' }\n")
    error = tenuto("check", "checked.plan.yaml", "--strict", "--json").object["error"]
    assert [error["where"], *(other["where"] for other in error["others"])][0] == "checked_helper.py:4:12"
    assert len(error["others"]) == 1


def test_programs_that_use_ctx_alone_are_silent(project: Path, tenuto: Tenuto) -> None:
    project_of(project, "def stamp():\n    return 1\n")
    assert tenuto("check", "checked.plan.yaml", "--strict").err == ""
