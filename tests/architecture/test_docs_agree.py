"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenuto.core.events import DERIVED, INPUTS
from tenuto.core.expressions import ROOTS
from tenuto.core.records import FORMAT_VERSION
from tenuto.errors import ExitCode

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
    assert f"now {FORMAT_VERSION}" in page


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


def test_exit_codes_in_the_docs_are_those_of_the_program() -> None:
    known = {int(code) for code in ExitCode}
    found = {int(code) for page in PAGES for code in re.findall(r"\bexit (\d+)\b", page.read_text("utf-8"))}
    assert found <= known
