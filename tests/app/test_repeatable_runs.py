"""Runs of repeatable commands: made twice, elsewhere, they have the same result digest; others have not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto import Plan, SandboxUnavailableError, build
from tenuto import run as run_plan

pytestmark = pytest.mark.sandbox

COMMAND = """\
date +%s.%N; date > when; mktemp -u; ls -U; tar c . | cksum
python -c "import os, uuid; print(uuid.uuid4(), os.listdir(), id(object()), list({'a', 'b', 'c', 'd'}))"
env | sort | grep -v ^PATH=
"""


async def digest_of(directory: Path, names: str, plan: Plan) -> str:
    repository = directory / "files"
    repository.mkdir(parents=True)
    for name in names:
        (repository / name).write_text(name)
    ran = await run_plan(plan, repository=repository, store=directory / "store", seed="the same")
    assert ran.ok, ran.error
    return str(ran.report()["result_digest"])


@pytest.mark.parametrize("repeatable", [True, False])
async def test_two_runs_have_one_result_only_where_it_is_asked_for(tmp_path: Path, repeatable: bool) -> None:
    plan = build.plan("facts", build.run("facts", COMMAND), defaults=build.defaults(repeatable=repeatable))
    first = await digest_of(tmp_path / "one", "abcd", plan)
    second = await digest_of(tmp_path / "elsewhere" / "two", "dbca", plan)
    assert (first == second) is repeatable


async def test_without_a_sandbox_such_a_plan_is_refused(tmp_path: Path) -> None:
    plan = build.plan("facts", build.run("facts", "date", repeatable=True))
    with pytest.raises(SandboxUnavailableError, match="bubblewrap"):
        await run_plan(plan, repository=tmp_path, store=tmp_path / "store", sandbox="none")
