from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from tenuto.core.plan import InputSpec, Plan, RunWork, Step
from tenuto.core.plan_inputs import check_inputs, fits
from tenuto.errors import UsageError

STEPS = (Step(name="a", work=RunWork(command="ls")),)
PLAN = Plan(
    name="p",
    steps=STEPS,
    inputs={
        "text": InputSpec(),
        "count": InputSpec(type="integer", default=Raw(b"5")),
        "rate": InputSpec(type="number", default=Raw(b"1")),
        "on": InputSpec(type="boolean", default=Raw(b"false")),
        "list": InputSpec(type="array", default=Raw(b"[]")),
        "map": InputSpec(type="object", default=Raw(b"{}")),
    },
)


def test_inputs_are_converted_by_their_type() -> None:
    given = {"text": "5", "count": "7", "rate": "0.5", "on": "True", "list": '["a", 1]', "map": '{"b": null}'}
    converted = {"text": "5", "count": 7, "rate": 0.5, "on": True, "list": ["a", 1], "map": {"b": None}}
    assert check_inputs(PLAN, given) == converted
    values = {"text": "é", "count": 1, "rate": 2, "on": True, "list": ("a",), "map": {}}
    assert check_inputs(PLAN, values) == values | {"list": ["a"]}
    defaults = {"count": 5, "rate": 1, "on": False, "list": [], "map": {}}
    assert check_inputs(PLAN, {"text": ""}) == {"text": ""} | defaults


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "input text: the plan needs this input; give --input text=VALUE"),
        ({"tex": "x"}, "input tex: the plan has no such input; did you mean text?"),
        ({"text": 5}, "input text: the value is no string; give a text"),
        ({"text": "", "count": "5.5"}, "input count: the value is no integer; give a whole number, such as 5"),
        ({"text": "", "count": "x"}, "input count: x is no integer; give a whole number, such as 5"),
        ({"text": "", "count": "true"}, "input count: the value is no integer; give a whole number, such as 5"),
        ({"text": "", "on": "1"}, "input on: the value is no boolean; give true or false"),
        ({"text": "", "list": "{}"}, 'input list: the value is no array; give a JSON list, such as ["a", "b"]'),
        ({"text": "", "map": "[" * 100_000}, "input map: "),
        ({"text": "", "count": "9" * 5000}, "input count: "),
        ({"text": "", "map": object()}, "input map: a object is not a JSON value; give a smaller value"),
    ],
    ids=range(11),
)
def test_inputs_that_do_not_fit_are_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_inputs(PLAN, given)
    assert str(caught.value).startswith(line)
    assert len(str(caught.value)) < 200


def test_no_inputs_are_taken_where_none_are_declared() -> None:
    with pytest.raises(UsageError, match="the plan takes no inputs"):
        check_inputs(Plan(name="p", steps=STEPS), {"x": "1"})


def test_lone_surrogates_are_replaced_on_entry() -> None:
    assert check_inputs(PLAN, {"text": "a\ud800"})["text"] == "a\ufffd"


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_booleans_are_no_numbers(kind: str) -> None:
    assert fits(kind, 1)
    assert not fits(kind, True)
