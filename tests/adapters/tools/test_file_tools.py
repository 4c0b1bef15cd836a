"""The built-in tools over files: what they do, and what they say to a model that asks for what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.adapters.tools.changing import DeleteFileTool, EditFileTool, MoveFileTool, WriteFileTool
from tenuto.adapters.tools.files import ReadFileTool
from tenuto.adapters.tools.listing import GlobTool, ListFilesTool
from tenuto.adapters.tools.patching import ApplyPatchTool
from tenuto.adapters.tools.searching import SearchFilesTool
from tenuto.adapters.tools.toolbox import Toolbox
from tenuto.ports.tools import Tool

TOOLS: dict[str, Tool] = {
    tool.spec.name: tool
    for tool in (
        *(ReadFileTool(), ListFilesTool(), GlobTool(), SearchFilesTool(), WriteFileTool(), EditFileTool()),
        *(ApplyPatchTool(), DeleteFileTool(), MoveFileTool()),
    )
}


WRITING = ("apply_patch", "delete_file", "edit_file", "move_file", "write_file")


async def test_read_a_range_of_lines(call: Any) -> None:
    status, value = await call(TOOLS["read_file"], path="a/one.py", first_line=3, last_line=3)
    assert (status, value["text"], value["lines"], value["truncated"]) == ("ok", "print('one')\n", 4, False)


async def test_a_long_file_is_cut_at_a_line_and_says_how_to_go_on(call: Any) -> None:
    _, value = await call(ReadFileTool(text_bytes_max=12), path="a/one.py")
    assert (value["text"], value["truncated"]) == ("import os\n\n", True)
    assert "first_line=3" in value["note"]


async def test_list_by_glob(call: Any) -> None:
    assert (await call(TOOLS["list_files"], glob="**/*.py"))[1]["files"] == ["a/one.py"]
    assert (await call(TOOLS["list_files"], limit=1))[1]["truncated"] is True


async def test_write_then_edit_then_read(call: Any) -> None:
    assert (await call(TOOLS["write_file"], path="new/x.txt", content="a b a"))[1]["created"] is True
    assert (await call(TOOLS["edit_file"], path="new/x.txt", old="b", new="c"))[1]["replaced"] == 1
    assert (await call(TOOLS["edit_file"], path="new/x.txt", old="a", new="z", replace_all=True))[1]["replaced"] == 2
    assert (await call(TOOLS["read_file"], path="new/x.txt"))[1]["text"] == "z c z"


async def test_glob_is_sorted_and_capped(call: Any) -> None:
    for name in ("src/z.py", "src/deep/er/a.ts", "src/.hidden.py", "B.py"):
        await call(TOOLS["write_file"], path=name, content="")
    assert (await call(TOOLS["glob"], pattern="*.py"))[1]["files"] == [
        "B.py",
        "a/one.py",
        "src/.hidden.py",
        "src/z.py",
    ]
    assert (await call(TOOLS["glob"], pattern="src/**/*.{ts,py}"))[1]["files"] == [
        "src/.hidden.py",
        "src/deep/er/a.ts",
        "src/z.py",
    ]
    assert (await call(TOOLS["glob"], pattern="*/a.ts", directory="src/deep"))[1]["files"] == ["src/deep/er/a.ts"]
    capped = (await call(TOOLS["glob"], pattern="**", limit=2))[1]
    assert (len(capped["files"]), capped["truncated"], capped["total"]) == (2, True, 7)
    assert "2 of 7" in capped["note"]


async def test_delete_and_move(call: Any, context: Any) -> None:
    await context.files.write("a/tool.sh", b"#!/bin/sh\n", executable=True)
    assert (await call(TOOLS["move_file"], source="a/tool.sh", target="bin/tool"))[0] == "ok"
    assert (await context.files.entry("bin/tool")).mode == "100755"
    assert await context.files.entry("a/tool.sh") is None
    status, value = await call(TOOLS["move_file"], source="b.bin", target="a/two.txt", replace=True)
    assert (status, value["replaced"]) == ("ok", True)
    assert await context.files.read("a/two.txt") == b"\0\1\2"
    assert (await call(TOOLS["delete_file"], path="a/one.py"))[0] == "ok"
    assert [entry.path for entry in await context.files.entries()] == ["a/two.txt", "bin/tool"]


async def test_search_for_text_and_expression(call: Any) -> None:
    assert (await call(TOOLS["search_files"], pattern="alpha"))[1]["matches"] == [
        "a/two.txt:1: alpha",
        "a/two.txt:3: alpha",
    ]
    found = await call(TOOLS["search_files"], pattern=r"^print\('t", regex=True)
    assert found[1]["matches"] == ["a/one.py:4: print('two')"]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("read_file", {"path": "missing"}, "no file"),
        ("read_file", {"path": "a"}, "directory"),
        ("read_file", {"path": "b.bin"}, "binary"),
        ("read_file", {"path": "../x"}, ".."),
        ("read_file", {"path": "/etc/passwd"}, "/etc/passwd"),
        ("read_file", {"path": "a/one.py", "first_line": 9}, "4 lines"),
        ("read_file", {"file": "a/one.py"}, "bad arguments"),
        ("write_file", {"path": "../x", "content": ""}, ".."),
        ("write_file", {"path": "a", "content": ""}, "a"),
        ("edit_file", {"path": "a/two.txt", "old": "alpha", "new": "x"}, "2 times"),
        ("edit_file", {"path": "a/two.txt", "old": "gamma", "new": "x"}, "not in"),
        ("edit_file", {"path": "a/one.py", "old": "print( 'one')", "new": "x"}, "not in"),
        ("edit_file", {"path": "a/two.txt", "old": "", "new": "x"}, "empty"),
        ("edit_file", {"path": "a/one.py", "old": "print('one')\nprint('tow')", "new": "x"}, "at line 4"),
        ("edit_file", {"path": "a/one.py", "old": "nothing like it", "new": "x"}, "nor anything like it"),
        ("glob", {"pattern": ""}, "empty"),
        ("glob", {"pattern": "*.py", "directory": "nowhere"}, "no directory"),
        ("glob", {"pattern": "x" * 600}, "longer"),
        ("delete_file", {"path": "missing"}, "no file"),
        ("delete_file", {"path": "a"}, "directory"),
        ("move_file", {"source": "missing", "target": "x"}, "no file"),
        ("move_file", {"source": "a/one.py", "target": "a/two.txt"}, "already"),
        ("move_file", {"source": "a/one.py", "target": "./a//one.py"}, "same file"),
        ("move_file", {"source": "a/one.py", "target": "a/one.py/x"}, "is a file"),
        ("search_files", {"pattern": "(", "regex": True}, "regular expression"),
        ("search_files", {"pattern": "(?=a)", "regex": True}, "regular expression"),
        ("search_files", {"pattern": ""}, "pattern"),
    ],
)
async def test_what_cannot_be_is_an_answer(call: Any, tool: str, arguments: dict[str, Any], said: str) -> None:
    status, value = await call(TOOLS[tool], **arguments)
    assert status == "error"
    assert said in value["error"]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_effects_and_schemas_are_declared(tool: Tool) -> None:
    assert tool.spec.effect == ("workspace" if tool.spec.name in WRITING else "read")
    assert tool.spec.output_schema is not None
    complaints = Toolbox([tool]).validate_arguments(tool.spec, tool.spec.parameters)
    assert any("additionalProperties" in line or "Additional" in line for line in complaints)
