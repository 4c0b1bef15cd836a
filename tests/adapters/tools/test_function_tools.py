"""Functions as tools: schemas from hints, failures as answers, lateness as a failure of the call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tenuto.adapters.tools.functions import tool
from tenuto.adapters.tools.loading import load_function_tools
from tenuto.adapters.tools.toolbox import COMPLAINTS_MAX, Toolbox
from tenuto.core.canonical import canonical
from tenuto.errors import ToolCallError, UsageError
from tenuto.ports.workspace import TreeEdit


@tool(effect="read", version="1")
def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    More that a model is not told.
    """
    return a + b


@tool()
async def fail(text: str) -> str:
    raise RuntimeError(f"no {text}")


@tool(effect="idempotent", timeout_ms=50)
async def hang() -> None:
    await asyncio.Event().wait()


@tool(effect="read")
async def size(path: str, files: TreeEdit) -> int:
    return len(await files.read(path))


def test_approval_is_part_of_the_spec_only_where_it_is_asked_for() -> None:
    asked = tool(effect="once", version="1", approval=True)(add.function)
    assert asked.spec.approval
    assert b"approval" in msgspec.json.encode(asked.spec)
    assert b"approval" not in msgspec.json.encode(add.spec)


async def test_hints_become_schemas_and_calls_are_served(call: Any) -> None:
    assert add.spec.description == "Add two numbers."
    assert set(json.loads(bytes(add.spec.parameters))["properties"]) == {"a", "b"}
    assert await call(add, a=1) == ("ok", 3)
    assert await call(size, path="b.bin") == ("ok", 3)
    assert add(1, 1) == 2


async def test_failures_are_answers(call: Any) -> None:
    assert await call(fail, text="way") == ("error", {"error": "RuntimeError: no way"})
    assert (await call(add, a="x"))[0] == "error"


async def test_lateness_is_a_failure_of_the_call(call: Any) -> None:
    with pytest.raises(ToolCallError) as caught:
        await call(hang)
    assert caught.value.kind == "timeout"
    assert caught.value.retryable


def test_undeclared_effects_are_once_and_the_version_is_the_source() -> None:
    assert fail.spec.effect == "once"
    assert len(fail.spec.version) == 64
    assert fail.spec.version != size.spec.version


def test_a_toolbox_names_what_is_wrong_within_bounds() -> None:
    box = Toolbox([add, fail])
    assert [spec.name for spec in box.specs()] == ["add", "fail"]
    assert box.validate_arguments(add.spec, msgspec.Raw(b'{"a":1}')) == []
    (line,) = box.validate_arguments(add.spec, msgspec.Raw(b'{"a":"x"}'))
    assert line.startswith("$.a: ")
    assert (
        len(box.complaints(canonical({"items": {"type": "null"}}), msgspec.Raw(b"[1,2,3,4,5,6,7]"))) == COMPLAINTS_MAX
    )
    assert "schema" in box.complaints(b'{"type":"nonsense"}', msgspec.Raw(b"1"))[0]
    with pytest.raises(UsageError, match="two tools"):
        Toolbox([add, add])


def test_tools_are_loaded_from_beside_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", ["/usr/lib"])
    source = (
        "from tenuto.adapters.tools.functions import tool\n@tool()\ndef greet(name: str) -> str:\n    return name\n"
    )
    (tmp_path / "tools_beside_the_plan.py").write_text(source)
    (loaded,) = load_function_tools("python:tools_beside_the_plan", tmp_path)
    assert loaded.spec.tool_id == "python:tools_beside_the_plan:greet"
    for wrong in ("python:tools_beside_the_plan:other", "python:no_such_module_here", "mcp:x"):
        with pytest.raises(UsageError):
            load_function_tools(wrong, tmp_path)
