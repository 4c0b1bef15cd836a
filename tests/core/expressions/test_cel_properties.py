"""What holds for every expression: one answer, one kind of error, an end."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenuto.core.canonical import canonical, parse
from tenuto.core.expressions import ExpressionError, parse_condition, parse_text, parse_value, path_text
from tenuto.core.expressions.cel import read_expression
from tenuto.core.printable import is_printable

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SCOPE: dict[str, Any] = {
    "inputs": {"n": 3, "list": [1, 2, 3]},
    "steps": {"triage": {"output": {"x": "aaa"}, "status": "ok", "error": None}},
}
TEXT = """
inputs .n .list steps.triage.output x 1 2.5 - 'a' " ' r' \\ [ ] ( ) { } }} ${{ ? : , . + * / % == < in && || !
has( size( .map(x, .all(x, .matches(' (a+)+$ true null é 99999999999999999999 e9 0x
"""
WORDS = [*TEXT.split(), " ", "\n"]


@st.composite
def paths(draw: st.DrawFn) -> tuple[str, Any]:
    """A path as it is written, and a scope in which it may lead somewhere."""
    parts = draw(st.lists(st.text(max_size=6) | st.integers(0, 3), max_size=5))
    scope: Any = draw(JSON)
    for part in reversed(parts):
        scope = {part: scope} if isinstance(part, str) else [None] * part + [scope]
    if draw(st.booleans()):
        parts = [*parts, draw(st.text(max_size=3) | st.integers(0, 3))]
    return path_text("item", parts), {"item": scope}


def said(path: str, resolve: Any, scope: Any) -> tuple[str, Any]:
    try:
        return "value", canonical(resolve(scope))
    except ExpressionError as error:
        return "error", str(error).replace(f" {path} }}}}", " }}")


@settings(deadline=None)
@given(paths())
@example(("item", {"item": 2.0}))
def test_a_plain_path_is_the_same_in_both_ways(case: tuple[str, Any]) -> None:
    path, scope = case
    plain = parse_value("${{ " + path + " }}")
    cel, end = read_expression(path, 0, (), "")
    assert end == len(path)
    assert [str(reference) for reference in cel.references] == [str(reference) for reference in plain.references]
    assert said(path, plain.evaluate, scope) == said(path, cel.resolve, scope)


@settings(deadline=None)
@given(JSON)
def test_a_value_calculates_as_its_stored_form_does(value: Any) -> None:
    """Replay reads from the journal what the live run had in memory."""
    for expression in ("item", "[item]", "item == item", "[item].map(x, x)", "item / 3", "size(item)", "item < 1"):
        template = parse_value("${{ " + expression + " }}")
        stored = {"item": parse(canonical(value))}
        assert said("item", template.evaluate, {"item": value}) == said("item", template.evaluate, stored)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join) | st.text(max_size=40))
def test_any_text_has_a_value_or_an_expression_error_soon(text: str) -> None:
    started = time.monotonic()
    for compile_one, written in (
        (parse_value, "${{ " + text + " }}"),
        (parse_text, "${{" + text),
        (parse_condition, text),
    ):
        try:
            canonical(compile_one(written).evaluate(SCOPE))
        except ExpressionError as error:
            found = error
        else:
            continue
        assert is_printable(str(found))
        assert 0 <= found.offset <= len(written)
    assert time.monotonic() - started < 10


HEAVY = [
    "inputs.l.map(a, inputs.l.map(b, inputs.l.map(c, a + b + c))).size() > 0",
    "inputs.l.all(a, inputs.l.all(b, inputs.l.all(c, inputs.l.all(d, a + b + c + d >= 0))))",
    "inputs.l.exists(a, inputs.l.exists(b, inputs.l.exists(c, a.x)))",
    "inputs.l.map(a, inputs.l.map(b, inputs.l))",
    "inputs.l.map(a, inputs.l.map(b, inputs.s))",
    "inputs.l.map(a, inputs.s + inputs.s + inputs.s).size()",
    "inputs.l.map(a, inputs.l.map(b, inputs.l == inputs.l))",
    "inputs.l.map(a, inputs.s.matches('(a+)+b') || inputs.s.matches('(a|aa)*b'))",
    "inputs.l.map(a, inputs.s.matches('.*.*.*.*.*.*.*.*(.*)x{40}y'))",
    "(inputs.s + inputs.s).matches(inputs.s)",
    "inputs.s.replace('a', inputs.s)",
    "inputs.l.map(a, inputs.s.split('')).size()",
    "inputs.l.map(a, inputs.s).join(inputs.s)",
]


@pytest.mark.parametrize("expression", HEAVY)
def test_what_would_take_too_long_is_stopped(expression: str) -> None:
    scope = {"inputs": {"l": list(range(400)), "s": "a" * 200_000}}
    started = time.process_time()
    with pytest.raises(ExpressionError, match=r"too many values; look at fewer|a pattern is longer"):
        parse_value("${{ " + expression + " }}").evaluate(scope)
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("(" * 40 + "1" + ")" * 40, "nested more than 32 deep"),
        ("[" * 2_000 + "]" * 2_000, "nested more than 32 deep"),
        ("-" * 40 + "'a'", "more than 32 signs"),
        ("true ? 1 : " * 40 + "2", "nested more than 32 deep"),
        ("+".join("1" * 200), "the parts are nested more than 100 deep"),
        ("1" + "+1" * 6_000, "longer than 10000 characters"),
        ("item" + ".a" * 40, "more than 32 parts"),
        ("{}" + ".a" * 200, "the parts are nested more than 100 deep"),
    ],
)
def test_what_is_too_large_is_refused(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse_value("${{ " + expression + " }}")


@pytest.mark.parametrize("rest", [" ", '"', '"""', "'", "1", "a", ".", "(", "{", "[", "!", "${{ 1 ", "\\", "r'"])
def test_a_long_text_is_refused_soon(rest: str) -> None:
    started = time.process_time()
    with pytest.raises(ExpressionError):
        parse_value(("${{ 1 " + rest * (1 << 20))[: 1 << 20])
    with pytest.raises(ExpressionError):
        parse_value(("${{ 1 " + rest * (1 << 20))[: (1 << 20) - 2] + "}}")
    assert time.process_time() - started < 5


def test_what_is_just_not_too_large_needs_no_deep_stack() -> None:
    deep = "(" * 30 + " || ".join(["1 + 2 * 3 == inputs.n"] * 300) + ")" * 30
    rows = " + ".join("1" * 99)
    lists = "[1].all(x, " * 30 + "x == 1" + ")" * 30

    def at_depth(depth: int, expression: str) -> Any:
        if depth:
            return at_depth(depth - 1, expression)
        return parse_value("${{ " + expression + " }}").evaluate({"inputs": {"n": 7}})

    free = sys.getrecursionlimit() - 550
    assert at_depth(free, deep) is True
    assert at_depth(free, rows) == 99
    assert at_depth(free, lists) is True


def test_a_deep_result_is_refused() -> None:
    value: Any = 1
    for _ in range(180):
        value = [value]
    assert parse_value("${{ [item] }}").evaluate({"item": value}) == [value]
    with pytest.raises(ExpressionError, match="nested more than 200 deep"):
        parse_value("${{ " + "[" * 30 + "item" + "]" * 30 + " }}").evaluate({"item": value})


def test_a_plain_path_loads_no_cel() -> None:
    code = (
        "import sys; from tenuto.core.expressions import parse_condition, parse_text, parse_value\n"
        "parse_text('a ${{ steps.a.output[0].b }}'); parse_value(['${{ item }}']); parse_condition('inputs.x')\n"
        "assert not any('.cel' in name for name in sys.modules)\n"
        "parse_condition('!inputs.x'); assert 'tenuto.core.expressions.cel' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
