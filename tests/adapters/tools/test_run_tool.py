"""The tool `run`: a command in the step's tree, its exit and output as the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenuto.adapters.sandboxes.finding import find_sandbox
from tenuto.adapters.tools.commands import RunTool
from tenuto.core.tools import Grants
from tenuto.errors import ToolCallError

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def run() -> RunTool:
    return RunTool(await find_sandbox(), stream_bytes_max=1_000)


async def test_exit_and_output(call: Any, run: RunTool) -> None:
    status, value = await call(run, command="cat a/two.txt; echo bad >&2; exit 3")
    assert status == "error"
    assert value == {"exit_code": 3, "stderr": "bad\n", "stdout": "alpha\nbeta\nalpha", "truncated": False}


async def test_the_directory_holds_what_was_written(call: Any, run: RunTool, context: Any) -> None:
    assert (await call(run, command="echo new > made"))[0] == "ok"
    tree = await context.opened[-1].capture()
    assert "made" in [entry.path for entry in await context.workspace.entries(tree)]


async def test_output_is_bounded(call: Any, run: RunTool) -> None:
    _, value = await call(run, command="head -c 5000 /dev/zero | tr '\\0' x")
    assert (len(value["stdout"]), value["truncated"], value["dropped_bytes"]) == (1_000, True, 4_000)


async def test_a_timeout_is_a_failure_of_the_call(call: Any, run: RunTool) -> None:
    with pytest.raises(ToolCallError) as caught:
        await call(run, command="sleep 60", timeout_ms=200)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("command", ["", " ", "a\0b"])
async def test_commands_that_are_none(call: Any, run: RunTool, command: str) -> None:
    assert (await call(run, command=command))[0] == "error"


async def test_a_granted_path_that_is_not_there_is_said(call: Any, run: RunTool, context: Any) -> None:
    context.grants = Grants(read=("/nowhere/at/all",))
    status, value = await call(run, command="true")
    assert status == "error"
    assert "/nowhere/at/all" in value["error"]


async def test_a_command_with_granted_paths_is_told_where_the_repository_is(
    call: Any, context: Any, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    (repository / ".git" / "HEAD").write_text("main")
    run = RunTool(await find_sandbox(), granted_below=repository)
    _, value = await call(run, command='cat "$TENUTO_REPOSITORY/.git/HEAD"; echo "${TENUTO_REPOSITORY-none}"')
    assert value["stdout"] == "none\n"
    context.grants = Grants(read=(".git",))
    _, value = await call(run, command='cat "$TENUTO_REPOSITORY/.git/HEAD"; ls "$TENUTO_REPOSITORY"')
    assert value["stdout"] == "main"
