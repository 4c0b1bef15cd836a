from __future__ import annotations

from typing import Any

import pytest

from tenuto.core.expressions import ExpressionError, parse_condition, parse_text, parse_value

SCOPE: dict[str, Any] = {"inputs": {"n": 3, "yes": True, "text": "yes"}, "last": {"status": "ok"}, "iteration": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.yes", True),
        ("${{ inputs.yes }}", True),
        (" ${{ inputs.n > 3 }}\n", False),
        ("inputs.n > 3", False),
        ("  last.status == 'ok' && iteration < 3 ", True),
        ("true", True),
        ("inputs.text == '}}' || {'a': {'b': true}}.a.b", True),
    ],
)
def test_a_condition_is_true_or_false(text: str, expected: bool) -> None:
    assert parse_condition(text).evaluate(SCOPE) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "inputs.n",
            "${{ inputs.n }}: a condition is true or false, and this is a number; compare it with something",
        ),
        ("inputs.n + 1", "${{ inputs.n + 1 }}: a condition is true or false, and this is a number; compare"),
        ("${{ inputs.text }}", "${{ inputs.text }}: a condition is true or false, and this is a string; compare"),
        ("inputs.zz", '${{ inputs.zz }}: inputs has no key "zz"'),
    ],
)
def test_anything_else_is_an_error(text: str, message: str) -> None:
    template = parse_condition(text)
    with pytest.raises(ExpressionError) as caught:
        template.evaluate(SCOPE)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("", "there is nothing in it", 0),
        ("${{ }}", "there is nothing in it", 0),
        ("!${{ inputs.yes }}", "put all of it into one ${{ }}", 0),
        ("${{ inputs.yes }} && ${{ inputs.yes }}", "put all of it into one ${{ }}", 0),
        ("$${{ inputs.yes }}", "put all of it into one ${{ }}", 0),
        ("inputs.yes }}", "there is a } without its {", 11),
        ("inputs.yes and true", "write &&", 11),
        ("steps.a", "steps.a must be followed by one of: output, status, error", 0),
    ],
)
def test_what_is_no_condition_is_refused_when_parsed(text: str, message: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_condition(text)
    assert message in str(caught.value)
    assert caught.value.offset == offset


def test_references_of_a_calculation_are_all_told_with_their_places() -> None:
    text = "steps.a.output.files.exists(f, f.ok && f.n < inputs.n) || has(inputs.m.x) || steps['b'].error != null"
    template = parse_condition(text)
    assert [(str(r), text[r.offset :].startswith(r.root), r.step) for r in template.references] == [
        ("steps.a.output.files", True, "a"),
        ("inputs.n", True, None),
        ("inputs.m.x", True, None),
        ("steps.b.error", True, "b"),
    ]
    assert not template.constant
    within = parse_value({"k": ["-", "n: ${{ item.a[0] + item.b[key] }} ${{ inputs.x }}"]}).references
    assert [(str(r), r.offset, r.within) for r in within] == [
        ("item.a[0]", 7, ("k", 1)),
        ("item.b", 19, ("k", 1)),
        ("key", 26, ("k", 1)),
        ("inputs.x", 34, ("k", 1)),
    ]


def test_a_calculation_without_paths_is_not_constant() -> None:
    template = parse_value({"a": "${{ 1 + 1 }}"})
    assert (template.references, template.constant) == ((), False)
    assert template.evaluate({}) == {"a": 2}


def test_calculations_stand_in_texts_too() -> None:
    text = "Fix ${{ inputs.text }} and ${{ inputs.n + 1 }}: ${{ [inputs.n].map(x, {'}}': x}) }}, $${{ }}"
    assert parse_text(text).render(SCOPE) == 'Fix yes and 4: [{"}}":3}], ${{ }}'


def test_templates_with_calculations_are_values() -> None:
    assert parse_condition("inputs.n > 1") == parse_condition("inputs.n > 1")
    assert parse_condition("inputs.n > 1") != parse_condition("inputs.n > 2")
