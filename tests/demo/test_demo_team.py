"""The demo's plan, tools and steps together, with a stand-in for the engine: prompts, choices, page, check."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml

from tenuto.adapters.plans.agent_keys import BUILTIN_TOOLS
from tenuto.adapters.plans.plan_file import load_plan
from tenuto.adapters.tools.loading import load_function_tools
from tenuto.core.expressions import parse_text, parse_value
from tenuto.core.ids import Digest
from tenuto.core.plan import PromptWork, UsesWork
from tenuto.demo import check, steps
from tenuto.demo.page import MARK
from tenuto.demo.tools import survey_repository, write_page
from tenuto.ports.workspace import TreeEdit, TreeEntry

PLAN = Path(check.__file__).parent / "plan"
TINY = {"pkg/__init__.py": b"", "pkg/a.py": b"class Alpha: ...\n"}


class MemoryTree(TreeEdit):
    """A tree in a dict. `mode` of a path that ends in `.link` is a symlink's."""

    def __init__(self, sources: dict[str, bytes]) -> None:
        self.sources = dict(sources)
        self.reads: list[str] = []

    async def read(self, path: str) -> bytes:
        self.reads.append(path)
        return self.sources[path]

    async def entry(self, path: str) -> TreeEntry | None:
        return next((entry for entry in await self.entries() if entry.path == path), None)

    async def entries(self, directory: str = "") -> Sequence[TreeEntry]:
        return [
            TreeEntry(path, "120000" if "link" in path else "100644", Digest(""), len(data))
            for path, data in sorted(self.sources.items())
        ]

    async def write(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        self.sources[path] = data

    async def delete(self, path: str) -> None:
        del self.sources[path]

    async def commit(self) -> Digest:
        return Digest("")


class Tools:
    """A step program's `ctx`: the demo's tools over a tree, values through JSON as in a run."""

    def __init__(self, tree: MemoryTree) -> None:
        self.tree = tree

    async def tool(self, name: str, /, **arguments: Any) -> Any:
        function = {"survey_repository": survey_repository, "write_page": write_page}[name]
        return json.loads(msgspec.json.encode(await function(files=self.tree, **arguments)))


def plan_steps() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((PLAN / "demo.plan.yaml").read_text())["steps"]
    return found


def children(name: str, items: list[dict[str, Any]], choose: Callable[[list[str]], str]) -> list[dict[str, str]]:
    """What the children of a `foreach` step give: prompt and schema rendered for each item as a run would."""
    step = plan_steps()[name]
    prompt = parse_text((PLAN / step["prompt"]).read_text())
    schema = parse_value(step["output"])
    outputs = []
    for item in items:
        text = prompt.render({"item": item})
        assert 20 < len(text) < 900
        assert "${{" not in text
        (field, shape), *others = schema.evaluate({"item": item})["properties"].items()
        assert not others
        assert len(set(shape["enum"])) == len(shape["enum"]) >= 2
        outputs.append({field: choose(shape["enum"])})
    return outputs


async def team(tree: MemoryTree, choose: Callable[[list[str]], str], max_files: int = 32) -> dict[str, Any]:
    """The whole plan but for its last step."""
    ctx = Tools(tree)
    survey = json.loads(json.dumps(await steps.survey(ctx, {"max_files": max_files})))
    topics, quotes, areas = (
        children(name, survey[list_], choose)
        for name, list_ in (("topic", "topics"), ("quote", "quotes"), ("area", "areas"))
    )
    group = await steps.group(ctx, {"survey": survey, "areas": areas})
    first = children("first", group, choose)
    given = {"survey": survey, "topics": topics, "quotes": quotes, "areas": areas, "group": group, "first": first}
    assert set(given) == set(plan_steps()["write"]["with"])
    written: dict[str, Any] = await steps.write(ctx, given)
    return written | given


def own_sources() -> dict[str, bytes]:
    root = Path(check.__file__).parents[1]
    return {f"src/tenuto/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.py")}


async def test_the_team_makes_a_page_of_this_very_package_that_its_own_check_accepts(tmp_path: Path) -> None:
    tree = MemoryTree(own_sources())
    written = await team(tree, lambda choices: choices[-1])
    assert len(written["survey"]["facts"]["files"]) == 32
    assert all(written[name] for name in ("topics", "areas", "group"))
    page = tree.sources["MODULES.md"].decode()
    assert page.startswith(MARK)
    for path, data in tree.sources.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    command = parse_text(plan_steps()["check"]["run"]).render({"steps": {"write": {"output": written}}})
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    shell = await asyncio.create_subprocess_shell(
        command, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(shell.communicate(), 60)
    assert (shell.returncode, json.loads(printed)["missing"]) == (0, [])
    assert not (tmp_path / written["check"]).exists()
    assert (tmp_path / "MODULES.md").exists()


async def test_equal_trees_and_choices_give_equal_bytes_and_others_do_not() -> None:
    pages = []
    for choose in (min, min, max):
        tree = MemoryTree(own_sources())
        await team(tree, choose, 8)
        pages.append(tree.sources["MODULES.md"])
    assert pages[0] == pages[1] != pages[2]


async def test_a_second_run_replaces_the_page_and_leaves_a_page_of_others_alone() -> None:
    tree = MemoryTree(TINY)
    first = await team(tree, min)
    assert (first["page"], first["check"]) == ("MODULES.md", "_check_modules.py")
    again = await team(tree, min)  # the first check script is still there: a file of the user's, for all we know
    assert (again["page"], again["check"]) == ("MODULES.md", "_check_modules_2.py")
    theirs = MemoryTree(TINY | {"MODULES.md": b"# Ours\n"})
    assert (await team(theirs, min))["page"] == "MODULES.tenuto.md"
    assert theirs.sources["MODULES.md"] == b"# Ours\n"


async def test_failed_children_cost_their_choice_only() -> None:
    ctx = Tools(tree := MemoryTree(own_sources()))
    survey = await steps.survey(ctx, {"max_files": 6})
    failed: list[Any] = [None] * len(survey["topics"])
    failed[0] = {"error": {"kind": "x", "message": "y"}}
    given = {"survey": survey, "topics": failed, "quotes": None, "areas": [], "group": [], "first": []}
    await steps.write(ctx, given)
    assert b"### [`src/tenuto/" in tree.sources["MODULES.md"]
    assert b"~**" not in tree.sources["MODULES.md"]


def test_answers_go_with_their_items() -> None:
    items = [{"path": "a"}, {"path": "b"}, {"path": "c"}]
    outputs = [{"topic": "x"}, None, {"topic": "z"}]
    assert steps.answers(items, outputs, key="path", field="topic") == {"a": "x", "c": "z"}


async def test_symlinks_large_and_foreign_files_are_not_read() -> None:
    tree = MemoryTree(
        TINY | {"pkg/link.py": b"secret", "pkg/big.py": b"#" * 600_000, "pkg/data.bin": b"", "notes.md": b"# N"}
    )
    found = await survey_repository(files=tree, max_files=5)
    assert sorted(tree.reads) == ["pkg/__init__.py", "pkg/a.py"]
    assert [(one.path, one.reason) for one in found.skipped] == [("pkg/big.py", "over 512 KiB")]


async def test_beyond_the_limits_files_are_counted_and_not_read() -> None:
    module = b'"""A module that is nearly as large as may be."""\n' + b"#" * 500_000
    tree = MemoryTree({f"m{number:02}.py": module for number in range(40)})
    found = await survey_repository(files=tree, max_files=5)
    assert (found.modules, found.unread, len(tree.reads)) == (33, 7, 33)


async def test_facts_meet_the_schema_that_the_tool_declares() -> None:
    facts = await Tools(MemoryTree(own_sources())).tool("survey_repository", max_files=40)
    assert survey_repository.spec.output_schema is not None
    jsonschema_rs.validate(json.loads(bytes(survey_repository.spec.output_schema)), facts)


async def test_documents_are_read_only_where_no_python_parses() -> None:
    tree = MemoryTree({"bad.py": b"def (", "README.md": b"# Thing\n\nA thing for all of us here.\n"})
    found = await survey_repository(files=tree, max_files=5)
    assert (found.kind, [one.path for one in found.files]) == ("text", ["README.md"])
    assert [one.path for one in found.skipped] == ["bad.py"]
    with pytest.raises(ValueError, match="nothing to survey"):
        await survey_repository(files=MemoryTree({"a.png": b""}), max_files=5)
    with pytest.raises(ValueError, match="max_files"):
        await survey_repository(files=tree, max_files=0)


def test_the_plan_loads_with_four_agents_and_names_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # loading tools puts their directory there
    own = load_function_tools("python:tenuto.demo.tools", PLAN)
    loaded = load_plan(PLAN / "demo.plan.yaml", [*BUILTIN_TOOLS, *(tool.spec.name for tool in own)])
    used = {step.work.agent for step in loaded.plan.steps if isinstance(step.work, PromptWork)}
    assert used == set(loaded.agents) == {"namer", "quoter", "sorter", "guide"}
    for step in loaded.plan.steps:
        if isinstance(step.work, UsesWork):
            _, module, function = step.work.target.split(":")
            assert module == "tenuto.demo.steps"
            assert asyncio.iscoroutinefunction(getattr(steps, function))
    assert {tool.spec.name: tool.spec.effect for tool in own} == {
        "survey_repository": "read",
        "write_page": "workspace",
    }
