"""From files to the page: what is on it stands in the files, whatever they hold and whatever is chosen."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto.demo import check
from tenuto.demo.facts import SkippedFile
from tenuto.demo.page import MARK, Choices, render
from tenuto.demo.survey import is_surveyed, survey

SHOP = {
    "pyproject.toml": b"[project]\nname = 'shop'\n",
    "setup.py": b"import setuptools\n",
    "src/shop/__init__.py": b'"""A shop that sells things to people."""\nfrom .cart import Cart\n',
    "src/shop/cart.py": (
        b"from .errors import EmptyCartError\nfrom shop import money\n"
        b'class Cart:\n    """Holds what a customer wants to buy."""\n    def add(self, x): ...\n'
        b'def checkout(cart):\n    """Turn the cart into an order | done."""\n# TODO: taxes\n'
    ),
    "src/shop/errors.py": b"class EmptyCartError(Exception): ...\n",
    "src/shop/money.py": b"def total(): ...\n",
    "src/shop/broken.py": b"def (\n",
    "tests/test_cart.py": b"from shop.cart import Cart\nCart().add(1)\n",
}


def _write(root: Path, sources: dict[str, bytes]) -> None:
    for path, data in sources.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def test_the_survey_of_a_small_shop() -> None:
    found = survey(SHOP, most=3)
    assert (found.title, found.kind, found.modules, found.tests) == ("shop", "python", 5, 1)
    assert [one.path for one in found.files] == ["src/shop/cart.py", "src/shop/errors.py", "src/shop/money.py"]
    cart = found.files[0]
    assert cart.names == ("Cart", "checkout")
    assert cart.uses == ("src/shop/errors.py", "src/shop/money.py")
    assert cart.used_by == ("src/shop/__init__.py",)
    assert cart.tested == 1
    assert cart.undocumented == ("Cart.add",)
    assert [one.path for one in found.rest] == ["setup.py", "src/shop/__init__.py"]
    assert found.skipped == (SkippedFile(path="src/shop/broken.py", reason="does not parse (line 1)"),)


def test_the_order_of_the_files_does_not_matter() -> None:
    assert survey(dict(reversed(SHOP.items())), most=9) == survey(SHOP, most=9)


def test_choices_are_marked_and_facts_are_not() -> None:
    found = survey(SHOP, most=4)
    path = "src/shop/cart.py"
    page = render(
        found,
        Choices(
            first={"errors": "src/shop/errors.py"},
            quotes={path: "Turn the cart into an order | done."},
            topics={path: "cart"},
        ),
    )
    assert page.startswith(MARK + "\n\n# Modules of shop\n\nThe 4 most used of 5 Python modules (")
    assert "~ *checkout: Turn the cart into an order \\| done.*" in page
    assert "A shop that sells things to people." in page
    assert "| [errors](#errors) | 1 | 1 | ~ [`src/shop/errors.py`](src/shop/errors.py) |" in page
    assert "- Gaps: 1 without docstring (`Cart.add`); 1 TODO" in page
    assert "line 8: TODO: taxes" in page
    assert "`src/shop/broken.py`: does not parse (line 1)" in page


def test_a_choice_that_was_not_offered_is_not_shown() -> None:
    found = survey(SHOP, most=4)
    path = "src/shop/cart.py"
    made_up = Choices(areas={path: "made up"}, quotes={path: "Made up."}, topics={path: "made-up"})
    assert render(found, made_up) == render(found, Choices())


def test_documents_where_there_is_no_python() -> None:
    found = survey(
        {
            "README.md": b"# Thing\n\nA thing for all of us here. See [use](docs/use.md).\n",
            "docs/use.md": b"# Use\n\n## First\n\nText of the first use case.\n",
            "logo.txt": b"\xff\xfe",
        },
        most=5,
    )
    assert found.kind == "text"
    assert [one.path for one in found.files] == ["docs/use.md", "README.md"]
    assert found.files[0].used_by == ("README.md",)
    page = render(found, Choices())
    assert "- Sections: `Use`, `First`" in page
    assert "- Linked from: `README.md`" in page


def test_nothing_to_survey_is_one_line_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"^nothing to survey.*; give another --repo$"):
        survey({"a.py": b"def ("}, most=1)


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("a.py", True),
        ("README.MD", True),
        ("pyproject.toml", True),
        (".venv/a.py", False),
        ("node_modules/x/a.js", False),
        ("odd`name.py", False),
        ("odd\nname.py", False),
        ("a.png", False),
        ("Makefile", False),
    ],
)
def test_which_files_are_surveyed(path: str, taken: bool) -> None:
    assert is_surveyed(path) is taken


NAMES = st.from_regex(r"_?[A-Za-zäß][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(str.isidentifier)
PATHS = st.from_regex(r"([a-z ]{1,5}/){0,2}[a-z(#%]{1,6}\.py", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters='"\\\0\r'), max_size=60)
FILES = st.dictionaries(
    PATHS, st.tuples(st.lists(NAMES, max_size=4), TEXT).map(lambda made: _module(*made)), min_size=1, max_size=5
)


def _module(names: list[str], text: str) -> bytes:
    lines = [f'"""{text}"""']
    for name in names:
        lines += [f"class {name}:", f'    """{text} stands here."""', "    def method(self): ...", f"# TODO {text!r}"]
    return "\n".join(lines).encode()


@given(sources=FILES, data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_path_and_name_on_a_page_stands_in_the_files(
    tmp_path_factory: pytest.TempPathFactory, sources: dict[str, bytes], data: st.DataObject
) -> None:
    try:
        found = survey(sources, most=data.draw(st.integers(1, 4)))
    except ValueError:
        return  # nothing that parses: said, not shown
    offered = {
        one.path: data.draw(st.sampled_from([quote.text for quote in one.quotes]))
        for one in found.files
        if one.quotes
    }
    page = render(found, Choices(quotes=offered))
    assert page == render(survey(dict(sources), most=len(found.files)), Choices(quotes=offered))
    root = tmp_path_factory.mktemp("tree")
    _write(root, sources)
    assert check.check(page, root)["missing"] == []
    facts = {name for one in found.files for name in (*one.names, *one.undocumented)}
    shown = {
        span for line in page.splitlines() if line.startswith("- Defines:") for span in re.findall("`([^`]+)`", line)
    }
    assert shown <= facts


def test_the_check_finds_what_is_not_there(tmp_path: Path) -> None:
    _write(tmp_path, SHOP)
    page = render(survey(SHOP, most=4), Choices())
    assert check.check(page, tmp_path)["missing"] == []
    (tmp_path / "src/shop/money.py").write_text("def totals(): ...\n")
    (tmp_path / "src/shop/errors.py").unlink()
    assert check.check(page, tmp_path)["missing"] == [
        "src/shop/errors.py",
        "src/shop/errors.py: EmptyCartError",
        "src/shop/money.py: total",
    ]


def test_the_check_runs_by_itself(tmp_path: Path) -> None:
    """As in the sandbox: a lone script, isolated from tenuto and from the environment."""
    _write(tmp_path, SHOP)
    (tmp_path / "MODULES.md").write_text(render(survey(SHOP, most=4), Choices()))
    (tmp_path / "check_it.py").write_bytes(Path(check.__file__).read_bytes())
    command = [sys.executable, "-I", "-S", "check_it.py", "MODULES.md"]
    ended = subprocess.run(command, cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, timeout=60)
    assert (ended.returncode, json.loads(ended.stdout)["missing"]) == (0, [])
    (tmp_path / "src/shop/money.py").unlink()
    ended = subprocess.run(command, cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, timeout=60)
    assert ended.returncode == 1
    (tmp_path / "MODULES.md").write_text("")
    ended = subprocess.run(command, cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, timeout=60)
    assert ended.returncode == 1
