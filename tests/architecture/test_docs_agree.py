"""What the documents name is there."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import click
import pytest

from tenuto import build, run
from tenuto.adapters.models.mock_options import MockOptions
from tenuto.adapters.plans.agent_keys import BUILTIN_TOOLS, FRONT_MATTER, METADATA
from tenuto.adapters.plans.limit_keys import RUN_LIMITS
from tenuto.adapters.plans.plan_keys import GRANTS, PLAN, STEP
from tenuto.adapters.sandboxes.unconfined import NoSandbox
from tenuto.app.build import build_toolbox
from tenuto.app.config import KEYS, TABLES
from tenuto.cli.program import VERBS, program
from tenuto.core.events import DERIVED, INPUTS
from tenuto.core.expressions import ROOTS
from tenuto.core.expressions.cel.functions import FUNCTIONS
from tenuto.core.expressions.cel.macros import MACROS
from tenuto.core.logic import LOGIC_VERSION
from tenuto.core.secret_forms import BUILTIN_PATTERNS
from tenuto.core.upcasting import LIFTS
from tenuto.errors import ExitCode
from tenuto.runtime.context import Context
from tenuto.runtime.engine import PlanExecutionEngine

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tenuto"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACE = re.compile(r"`((?:core|ports|runtime|adapters|app|cli|testing|demo)/[\w/]*(?:\.py|/))`")


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text("utf-8")


def table(text: str, heading: str) -> set[str]:
    """The names in the first column of the table under a heading of that name."""
    lines = text.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {name for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_the_journal_page_lists_every_kind_of_event() -> None:
    page = read("journal.md")
    assert table(page, "input") == {kind.__name__ for kind in INPUTS}
    assert table(page, "derived") == {kind.__name__ for kind in DERIVED}


def test_the_journal_page_lists_every_version() -> None:
    page = read("journal.md")
    logic = page.split("\n| logic |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert [line.split("|")[1].strip() for line in logic] == [str(n + 1) for n in range(LOGIC_VERSION)]
    kinds = page.split("\n| record |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    listed = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in kinds]
    newer = [(f"`{kind}`", str(n + 2)) for kind, lifts in sorted(LIFTS.items()) for n in range(len(lifts))]
    assert listed == newer


def test_the_decision_on_templates_names_their_roots() -> None:
    page = read("decisions/0004-plain-templates-instead-of-jinja.md")
    assert all(f"`{root}`" in page for root in ROOTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_modules_a_page_names_exist_unless_it_says_later(page: Path) -> None:
    """A paragraph that says `later` (as a word) may name what is not there yet."""
    missing = [
        place
        for paragraph in re.split(r"\n\s*\n", page.read_text("utf-8"))
        if not re.search(r"\blater\b", paragraph, re.IGNORECASE)
        for place in PLACE.findall(paragraph)
        if not (SOURCE / place).exists()
    ]
    assert not missing


def test_the_page_on_plans_has_every_function_of_expressions() -> None:
    page = read("plans.md")
    section = page.split("\n### Calculations\n", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"`(?:\w\.)?(\w+)\(", section)) | set(re.findall(r", `\w\.(\w+)\(", section)) >= (
        {*FUNCTIONS, *MACROS, "has"} - {"dyn"}
    )


def test_exit_codes_in_the_docs_are_those_of_the_program() -> None:
    known = {int(code) for code in ExitCode}
    found = {int(code) for page in PAGES for code in re.findall(r"\bexit (\d+)\b", page.read_text("utf-8"))}
    assert found <= known


def first_columns(text: str) -> set[str]:
    """The code names in the first columns of all tables of a page."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_on_plans_has_every_key_and_names_those_refused() -> None:
    page = read("plans.md")
    shown = first_columns(page)
    shapes = (PLAN, STEP, GRANTS, RUN_LIMITS, FRONT_MATTER, METADATA)
    assert {field.name for shape in shapes for field in shape.fields} <= shown
    refused = page.split("## Refused in this version", 1)[1].split("\n## ", 1)[0]
    assert {key for shape in (PLAN, STEP, GRANTS) for key in shape.later} <= set(re.findall(r"`(\w+)`", refused))


def test_the_page_on_the_command_line_has_every_verb_code_and_setting() -> None:
    page = read("cli.md")
    shown = first_columns(page)
    assert set(VERBS) | set(KEYS) | set(TABLES) <= shown
    assert all(f"\n| {int(code)} | " in page for code in ExitCode)


def test_the_page_on_tools_has_every_tool_with_its_effect() -> None:
    page = read("tools.md")
    box = build_toolbox([], ROOT, NoSandbox(), repository=ROOT)
    assert {spec.name for spec in box.specs()} == set(BUILTIN_TOOLS)
    assert all(f"\n| `{spec.name}` | `{spec.effect}` |" in page for spec in box.specs())


def test_the_page_on_secrets_has_every_pattern() -> None:
    assert set(BUILTIN_PATTERNS) <= first_columns(read("secrets.md"))


def test_the_page_on_the_command_line_has_every_option() -> None:
    page = read("cli.md")
    context = click.Context(program)
    commands = [program.get_command(context, verb) for verb in VERBS]
    commands += [
        group.get_command(context, name)
        for group in commands
        if isinstance(group, click.Group)
        for name in group.list_commands(context)
    ]
    options = {
        option
        for command in commands
        if command is not None
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }
    assert len(options) > 20
    assert not {option for option in options if not re.search(rf"{option}(?![\w-])", page)}


def test_the_page_on_models_has_every_option_of_the_mock() -> None:
    options = {field.name for field in dataclasses.fields(MockOptions)}
    assert options <= first_columns(read("models.md"))


def test_the_page_on_python_has_every_argument_of_the_engine_and_every_part_of_ctx() -> None:
    page = read("python.md")
    arguments = set(inspect.signature(PlanExecutionEngine).parameters)
    assert arguments <= first_columns(page)
    assert all(f"ctx.{name}" in page for name in vars(Context) if not name.startswith("_"))


def test_the_page_on_python_has_every_function_of_build_and_every_argument() -> None:
    page = read("python.md")
    assert not [name for name in build.__all__ if name.islower() and not re.search(rf"`{name}\b", page)]
    shown = first_columns(page)
    assert set(inspect.signature(run).parameters) - {"plan"} <= shown
    options = {name for name in build.StepOptions.__annotations__ if f"`{name}`" not in page}
    assert not options


def test_the_architecture_names_tests_that_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", read("architecture.md"))
    assert named
    assert not [test for test in named if not (ROOT / test).exists()]
