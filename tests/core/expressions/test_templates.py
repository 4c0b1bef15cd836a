from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.core.canonical import canonical
from tenuto.core.expressions import (
    PATH_DEPTH_MAX,
    RENDERED_MAX,
    TEMPLATE_MAX,
    ExpressionError,
    Reference,
    parse_text,
    parse_value,
    path_text,
)

SCOPE: dict[str, Any] = {
    "inputs": {"x": "text", "n": 3, "none": None},
    "steps": {
        "triage": {
            "output": {"files": [{"name": "a.py"}], "odd key": "o", "1": "one"},
            "status": "ok",
            "error": None,
        },
        "fix-it": {"output": [1, 2.5, "é"], "status": "failed", "error": {"what": "broke"}},
    },
    "item": {"y": [True]},
    "key": "k/1",
    "with": {"z": {"b": 1, "a": [2]}},
}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("plain $ {{ }} }}", "plain $ {{ }} }}"),
        ("${{ inputs.x }}", "text"),
        ("${{inputs.x}}${{\n inputs.n\t}}", "text3"),
        ("a ${{ steps.triage.output.files[0].name }} b", "a a.py b"),
        ("${{ steps.triage.output['odd key'] }}${{ steps.triage.output[\"odd key\"] }}", "oo"),
        ('${{ steps.triage.output["1"] }}', "one"),
        ("${{ steps.fix-it.output }}", '[1,2.5,"é"]'),
        ("${{ steps['fix-it'].status }}: ${{ steps.fix-it.error.what }}", "failed: broke"),
        ("${{ item.y }} ${{ key }} ${{ with.z }} ${{ inputs.none }}", '[true] k/1 {"a":[2],"b":1} null'),
        ("$${{ inputs.x }}", "${{ inputs.x }}"),
        ("a$${{ b ${{ inputs.x }} $${{", "a${{ b text ${{"),
        ("$$${{ inputs.x }}", "$${{ inputs.x }}"),
        ("${{ key }}$${{", "k/1${{"),
    ],
)
def test_a_text_renders(text: str, rendered: str) -> None:
    assert parse_text(text).render(SCOPE) == rendered


def test_a_value_that_is_one_expression_keeps_its_type_at_any_depth() -> None:
    value = {
        "list": "${{ steps.fix-it.output }}",
        "deep": [{"n": "${{ inputs.n }}", "text": "n=${{ inputs.n }}"}, 1, None],
        "literal": "$${{ x }}",
        "${{ inputs.x }}": "keys are taken as written",
        "same": {"a": [1, "b"]},
    }
    assert parse_value(value).evaluate(SCOPE) == {
        "list": [1, 2.5, "é"],
        "deep": [{"n": 3, "text": "n=3"}, 1, None],
        "literal": "${{ x }}",
        "${{ inputs.x }}": "keys are taken as written",
        "same": {"a": [1, "b"]},
    }
    assert parse_value("${{ inputs.none }}").evaluate(SCOPE) is None
    assert parse_value("$${{").evaluate({}) == "${{"


def test_references_say_what_is_read_and_where_it_is_written() -> None:
    assert parse_text("ab ${{ inputs.x }} ${{ steps.a.output[2] }}").references == (
        Reference("inputs", ("x",), 3),
        Reference("steps", ("a", "output", 2), 19),
    )
    template = parse_value({"a": ["-", "b ${{ item }}"], "c": "${{ steps.s.error }}"})
    assert [(str(r), r.offset, r.within, r.step) for r in template.references] == [
        ("item", 2, ("a", 1), None),
        ("steps.s.error", 0, ("c",), "s"),
    ]
    assert not template.constant
    assert parse_text("none").constant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${{ inputs.y }}", '${{ inputs.y }}: inputs has no key "y"; it has: "x", "n", "none"'),
        (
            "${{ steps.triage.output.files[1] }}",
            "${{ steps.triage.output.files[1] }}: steps.triage.output.files has no item 1; "
            "it has 1 item, counted from 0",
        ),
        (
            "${{ steps.triage.output[1] }}",
            "${{ steps.triage.output[1] }}: steps.triage.output is an object, not a list; "
            'write ["1"] for a key; it has: "files", "odd key", "1"',
        ),
        (
            "${{ item.y.z }}",
            '${{ item.y.z }}: item.y is a list and has no key "z"; write item.y[0] for an item',
        ),
        ("${{ key.z }}", "${{ key.z }}: key is a string, so nothing stands below it; end the path at key"),
        (
            "${{ inputs.none.z }}",
            "${{ inputs.none.z }}: inputs.none is null, so nothing stands below it; end the path at inputs.none",
        ),
        (
            "${{ inputs.x[0] }}",
            "${{ inputs.x[0] }}: inputs.x is a string, so nothing stands below it; end the path at inputs.x",
        ),
    ],
)
def test_what_is_not_there_is_named_with_what_is(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_text(text).render(SCOPE)
    assert str(caught.value) == message
    with pytest.raises(ExpressionError, match=r"\$"):
        parse_value([text]).evaluate(SCOPE)


def test_a_root_that_is_not_in_scope_is_named() -> None:
    with pytest.raises(ExpressionError, match='there is no item here; use one of: "inputs"'):
        parse_text("${{ item }}").render({"inputs": {}})


def test_lists_of_what_is_there_are_bounded() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_text("${{ inputs.none }}").render({"inputs": {f"{i}" * 500: i for i in range(10_000)}})
    assert len(str(caught.value)) < 700
    assert str(caught.value).endswith(", ...")


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("", "there is nothing in it"),
        ("input.x", "input is unknown"),
        ("inputs.", "a name is missing after the dot"),
        ("inputs.0", "a name is missing after the dot"),
        ("inputs..x", "a name is missing after the dot"),
        ("inputs[]", "is not expected here"),
        ("inputs[x]", "x is unknown"),
        ("inputs['x]", "a text is not closed"),
        ('inputs["\\x"]', "is not a JSON string"),
        ("steps", "the step's name is missing"),
        ("steps[0].output", "the step's name is missing"),
        ("steps.a", "steps.a must be followed by one of: output, status, error"),
        ("steps.a.outputs", "steps.a must be followed by one of"),
        ("inputs" + ".a" * (PATH_DEPTH_MAX + 1), "more than 32 parts"),
    ],
)
def test_what_leads_nowhere_is_refused_when_parsed(expression: str, what: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_text("ab ${{ " + expression + " }}")
    assert what in str(caught.value)
    assert "; " in str(caught.value)
    assert 3 <= caught.value.offset <= len("ab ${{ " + expression + " }}")
    with pytest.raises(ExpressionError) as caught:
        parse_value({"k": ["${{ " + expression + " }}"]})
    assert caught.value.within == ("k", 0)


def test_what_is_not_closed_is_refused() -> None:
    for text in ("${{", "${{ ", "${{ inputs.x", "${{ inputs.x }", '${{ inputs["}}'):
        with pytest.raises(ExpressionError):
            parse_text(text)
    with pytest.raises(ExpressionError, match="it is not closed"):
        parse_text("${{ inputs.x")


def test_a_key_may_hold_what_closes_an_expression() -> None:
    assert parse_text('${{ inputs["}}"] }}!').render({"inputs": {"}}": "ok"}}) == "ok!"
    assert parse_text(r"${{ inputs['a\'\\b'] }}").render({"inputs": {"a'\\b": "ok"}}) == "ok"


def test_limits_hold() -> None:
    deep: Any = "leaf"
    for _ in range(300):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested more than"):
        parse_value(deep)
    with pytest.raises(ExpressionError, match="longer than"):
        parse_text("${{ key }}" + " " * TEMPLATE_MAX)
    assert parse_text(" " * (TEMPLATE_MAX + 1)).render({}) == " " * (TEMPLATE_MAX + 1), "no expression, no limit"
    with pytest.raises(ExpressionError, match="grows over"):
        parse_text("${{ key }}" * 80).render({"key": "x" * (RENDERED_MAX // 64)})


def test_a_value_without_canonical_form_is_an_expression_error() -> None:
    with pytest.raises(ExpressionError, match="insert a part of it"):
        parse_text("${{ inputs.x }}").render({"inputs": {"x": [float("nan")]}})


class Lazy(Mapping[str, Any]):
    """A mapping that makes its values when they are asked for, as the kernel's scope does."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        if name not in ("a", "b"):
            raise KeyError(name)
        self.asked.append(name)
        return {"output": name * 2}

    def __iter__(self) -> Iterator[str]:
        return iter(("a", "b"))

    def __len__(self) -> int:
        return 2


def test_only_what_is_read_is_made() -> None:
    steps = Lazy()
    template = parse_value(["${{ steps.b.output }}", "${{ steps.c.output }}"])
    with pytest.raises(ExpressionError, match='steps has no key "c"; it has: "a", "b"'):
        template.evaluate({"steps": steps})
    assert steps.asked == ["b"]


def test_templates_are_values() -> None:
    template = parse_text("${{ key }}")
    assert template == parse_text("${{ key }}")
    with pytest.raises(AttributeError):
        template.references = ()  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        parse_value(["${{ key }}"]).render({"key": "k"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.text(st.sampled_from("${} }{[]'\"\\.aix-01\n"), max_size=40))
def test_any_text_is_a_template_or_an_expression_error(text: str) -> None:
    message = ""
    try:
        template = parse_text(text)
        if template.constant:
            assert template.render({}) == text.replace("$${{", "${{")
    except ExpressionError as error:
        message = str(error)
    assert message.isprintable()


@settings(deadline=None)
@given(st.text(max_size=20), JSON, st.text(max_size=20))
def test_literal_text_around_a_reference_is_kept(before: str, value: Any, after: str) -> None:
    before, after = before.replace("$", ""), after.replace("$", "")
    template = parse_text(before + "${{ inputs.v }}" + after)
    shown = value if isinstance(value, str) else canonical(value).decode()
    assert template.render({"inputs": {"v": value}}) == before + shown + after
    assert parse_value("${{ inputs.v }}").evaluate({"inputs": {"v": value}}) == value


@settings(deadline=None)
@given(st.lists(st.text(max_size=6) | st.integers(0, 10**6), max_size=6))
def test_every_path_can_be_written_and_read(parts: list[str | int]) -> None:
    template = parse_text("${{ " + path_text("item", parts) + " }}")
    assert template.references[0].parts == tuple(parts)
    scope: Any = "leaf"
    for part in reversed(parts):
        scope = {part: scope} if isinstance(part, str) else [None] * (part % 5) + [scope]
        if isinstance(part, int) and part > 4:
            return
    assert template.render({"item": scope}) == "leaf"
