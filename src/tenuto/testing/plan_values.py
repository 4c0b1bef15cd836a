"""Generated texts, values and names for plans: the ones that files, quotes and encodings trip over among them.

Needs `hypothesis`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from hypothesis import strategies as st

from tenuto.core.canonical import canonical

__all__ = ["json_values", "maybe", "names", "raw_values", "texts"]

_T = TypeVar("_T")

ODD_TEXTS = (
    *("no", "Yes", "on", "y", "null", "~", "", "true", "1", "-1", "+1", "1e3", "0x10", "0o7", ".inf", ".5", "1_000"),
    *("30s", "1h30m", "2026-01-01", "1.10", "12:30:45", "<<", "=", "!tag", "&anchor", "*alias", "%", "@", "`", "?"),
    *(
        "- a",
        "? a",
        "a: b",
        "a:",
        ":a",
        "a #b",
        "#a",
        "|",
        ">",
        "[",
        "]",
        "{",
        "}",
        "a,b",
        "'",
        '"',
        "\\",
        "---",
        "...",
    ),
    *(
        " a",
        "a ",
        "\t",
        "a\tb",
        "\ta\n b",
        "\n",
        "a\n",
        "a\n\n",
        "\n\na",
        "a\n   \n",
        " \n \n",
        "a\r\nb",
        "a\rb",
        "  a\n b",
    ),
    *("é", "猫", "😀", "\u2028a", "\u0085", "\x7f", "\ufeff", "\u00a0", "\ufffe", "e\u0301", "\U0010ffff", "\x01"),
    *("$", "$$x", "$$", "}}", "a.md", "notes.txt", "x.plan.yaml", "agents/*.md", "k" * 200, "word " * 300),
    *('"""', "'''", "\\n", "{name}", "%s", "\\", "a\\\nb", "\x1b[0m"),
)
"""What some reader or writer somewhere takes for something else."""

texts = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text("ab \n\t:#-'\"\\{}[]|", max_size=16),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=10),
).map(lambda text: text.replace("${{", "$${{"))
"""Texts without expressions, of all that may stand in a plan."""

_numbers = st.one_of(
    st.integers(-5, 5), st.integers(), st.integers(2**62, 2**70), st.floats(allow_nan=False, allow_infinity=False)
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
"""Any JSON value, without expressions."""

raw_values = json_values.map(lambda value: msgspec.Raw(canonical(value)))

names = st.one_of(
    st.sampled_from(
        ("a", "no", "null", "true", "y", "fix", "do-it", "_", "in", "plan", "x9", "Step", "and", "class")
    ),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,9}", fullmatch=True),
).filter(lambda name: name != "end")
"""Names of steps, agents and inputs, those among them that mean something elsewhere."""


def maybe(strategy: st.SearchStrategy[_T]) -> st.SearchStrategy[_T | None]:
    """Mostly nothing: most fields of most steps are left out."""
    return st.one_of(st.none(), st.none(), strategy)
