"""What expressions mean: CEL's own examples where JSON has the values, and where we say otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tenuto.core.expressions import ExpressionError, parse_value

SCOPE: dict[str, Any] = {
    "inputs": {
        "n": 3,
        "half": 0.5,
        "two": 2.0,
        "none": None,
        "yes": True,
        "text": "héé",
        "list": [1, 2, 3],
        "big": 2**70,
        "odd-key": 5,
        "map": {"b": 1, "a": 2},
        "people": [{"name": "Ann", "age": 31}, {"name": "Bob"}],
    },
    "steps": {
        "triage": {"output": {"files": ["a.py", "b.py"], "goal": "go"}, "status": "ok", "error": None},
        "fix-it": {"output": None, "status": "failed", "error": {"kind": "tool", "message": "no"}},
    },
    "last": {"output": {"done": False}, "status": "ok", "error": None},
    "iteration": 4,
}


def value(expression: str) -> Any:
    return parse_value("${{ " + expression + " }}").evaluate(SCOPE)


EXAMPLES: list[tuple[str, Any]] = [
    # literals
    ("true", True),
    ("null", None),
    ("-9223372036854775808", -(2**63)),
    ("0x7FFFFFFFFFFFFFFF", 2**63 - 1),
    ("1.5e3", 1500),
    (".5", 0.5),
    (r"""'\a\b\f\n\r\t\v\\\'\"\`\?'""", "\a\b\f\n\r\t\v\\'\"`?"),
    (r'"\x41\u00e9\U0001F600\101"', "Aé😀A"),
    (r"r'\d+' + R'''a'b'''", "\\d+a'b"),
    ('"""a\n"b" """', 'a\n"b" '),
    ("[1, 'a', [null],]", [1, "a", [None]]),
    ('{"a": {"b": 1}}', {"a": {"b": 1}}),
    ("{}", {}),
    # arithmetic
    ("1 + 2 * 3 - 4", 3),
    ("(1 + 2) * 3", 9),
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7 / -2", -3),
    ("-7 % 2", -1),
    ("7 % -2", 1),
    ("43 - -42", 85),
    ("--3", 3),
    ("inputs.n + inputs.half", 3.5),
    ("inputs.n / 2.0", 1.5),
    ("'a' + 'b'", "ab"),
    ("[1] + [2]", [1, 2]),
    ("iteration-1", 3),
    # equality over kinds
    ("1 == 1.0", True),
    ("[1, {'a': 1.0}] == [1.0, {'a': 1}]", True),
    ("{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", True),
    ("1 == '1'", False),
    ("1 != true", True),
    ("0 == false", False),
    ("[] == {}", False),
    ("null == false", False),
    ("inputs.none == null", True),
    ("9007199254740993 == 9007199254740992.0", False),
    # order
    ("1 < 1.5 && 1.5 <= 2", True),
    ("'a' < 'b' && 'Z' < 'a' && 'abc' < 'abd'", True),
    ("false < true", True),
    ("inputs.big > 9223372036854775807", True),
    # membership
    ("2 in [1, 2.0]", True),
    ("'a' in inputs.map", True),
    ("1 in inputs.map", False),
    ("inputs.n in inputs.list", True),
    # logic, which forgives what does not matter
    ("false && 1 / 0 == 1", False),
    ("1 / 0 == 1 && false", False),
    ("1 / 0 == 1 || true", True),
    ("true || 'x'", True),
    ("!true || !false", True),
    ("true && true || false", True),
    ("false ? 1 / 0 : 2", 2),
    ("true ? false ? 1 : 2 : 3", 2),
    ("false ? 1 : true ? 2 : 3", 2),
    # reading
    ("inputs['odd-key'] + inputs.odd-key", 10),
    ("inputs.list[inputs.n - 1]", 3),
    ("inputs[ 'map' ] .a", 2),
    ("inputs.people[0].name", "Ann"),
    ("{'a': [1, 2]}.a[1]", 2),
    ("steps.fix-it.status == 'failed' && steps.fix-it.error.kind == 'tool'", True),
    ("steps.triage.error == null", True),
    ("size(steps.triage.output.files) <= inputs.n", True),
    ("!last.output.done && iteration < 5", True),
    ("has(inputs.map.a) && !has(inputs.map.z)", True),
    ("has(inputs.people[1].age)", False),
    ("inputs.people.filter(p, has(p.age) && p.age > 30).map(p, p.name)", ["Ann"]),
    # functions
    ("size(inputs.text)", 3),
    ("inputs.text.size() + size([1]) + size({'a': 1}) + 'a'.size()", 6),
    ("'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('bc')", True),
    ("int('-12') + int(3.9) + int(-3.9)", -12),
    ("double('1e3') + double(2)", 1002),
    ("string(12) + string(1.5) + string(2.0) + string(true) + string('x')", "121.52truex"),
    ("bool('true') && !bool('false')", True),
    ("dyn(1)", 1),
    ("matches('abc', 'b') && 'abc'.matches('^a.c$')", True),
    ("'a,b,,c'.split(',') == ['a', 'b', '', 'c'] && 'é1'.split('') == ['é', '1']", True),
    ("['a', 'b'].join(', ') + ['x', 'y'].join() + [].join('-')", "a, bxy"),
    ("'aXbX'.replace('X', '--')", "a--b--"),
    ("' \\t\\na b\\r '.trim()", "a b"),
    ("'aÉ'.upperAscii() + 'AÉ'.lowerAscii()", "AÉaÉ"),
    ("inputs.people.map(p, p.name).join(' and ')", "Ann and Bob"),
    # macros
    ("[1, 2, 3].all(x, x > 0)", True),
    ("[1, 'a', 3].all(x, x > 2)", False),
    ("[1, 'a', 3].exists(x, x > 2)", True),
    ("[1, 2, 3].exists_one(x, x > 2)", True),
    ("[1, 2, 3].exists_one(x, x > 1)", False),
    ("[].all(x, x) && ![].exists(x, x)", True),
    ("[1, 2, 3].filter(x, x > 1)", [2, 3]),
    ("[1, 2, 3].map(x, x * x)", [1, 4, 9]),
    ("[1, 2, 3].map(x, x > 1, x * x)", [4, 9]),
    ("[1, 2].map(x, [3, 4].map(y, x * y))", [[3, 4], [6, 8]]),
    ("[[1], [2]].map(x, x.map(x, x + 1))", [[2], [3]]),
    ("[1].map(item, item + 1)", [2]),
    ("inputs.map.map(k, k + string(inputs.map[k]))", ["a2", "b1"]),
    ("inputs.map.exists(k, k == 'b')", True),
]


@pytest.mark.parametrize(("expression", "expected"), EXAMPLES)
def test_an_expression_has_its_value(expression: str, expected: Any) -> None:
    found = value(expression)
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


def test_a_number_is_whole_where_json_writes_it_whole() -> None:
    """What is stored as 2 must not divide as 2.0 before it is stored."""
    assert value("inputs.two / 4") == 0
    assert value("inputs.two / 4.0") == 0.5
    assert value("[inputs.two].map(x, x / 4)") == [0]
    assert type(value("4.0 / 2.0")) is int
    assert parse_value("${{ inputs.x / 3 }}").evaluate({"inputs": {"x": 1e18}}) == 10**18 // 3


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("inputs.zz == 1", 'inputs has no key "zz"; it has: "n"'),
        ("inputs.n-1", "write spaces around a minus"),
        ("inputs.list[3]", "inputs.list has no item 3; it has 3 items, counted from 0"),
        ("inputs.list[0 - 1]", "inputs.list has no item -1"),
        ("inputs.people.map(p, p.age)", 'p has no key "age"; it has: "name"'),
        ("inputs.list[0.5]", "0.5 is a number, and picks nothing; write a whole number or a key"),
        ("has(inputs.none.x)", "inputs.none is null, and has no keys; compare inputs.none first"),
        ("1 + 'a'", "+ needs two numbers, two texts or two lists, and finds a number and a string; convert one"),
        ("1 < 'a'", "< needs two numbers or two texts, and finds a number and a string"),
        ("null < 1", "finds null and a number"),
        ("true + 1", "finds true or false and a number"),
        ("1 / 0", "/ by zero"),
        ("1.5 % 2", "% needs whole numbers"),
        ("1.0 / 0", "/ by zero"),
        ("1e308 * 10", "the result of * is too large"),
        ("9223372036854775807 + 1", "the result of + has more than 64 bits"),
        ("-(-9223372036854775807 - 1)", "the result of - has more than 64 bits"),
        ("(-9223372036854775807 - 1) / -1", "the result of / has more than 64 bits"),
        ("inputs.big + 1", "a whole number has more than 64 bits"),
        ("!1", "1 is a number, where true or false is needed"),
        ("1 ? 2 : 3", "1 is a number, where true or false is needed"),
        ("inputs.n && true", "inputs.n is a number, where true or false is needed"),
        ("-'a'", "- needs a number, and finds a string"),
        ("size(1)", "a number has no size"),
        ("size(null)", "null has no size"),
        ("[1].contains(1)", "contains looks into strings, and finds a list; write: part in list"),
        ("'a' in 'abc'", "in looks into lists and objects, and finds a string; write text.contains(part)"),
        ("[1].join(',')", "join needs a string, and finds a number; convert it with string()"),
        ("'a'.join(',')", "join needs a list, and finds a string"),
        ("'a'.replace('', 'b')", "replace looks for an empty string"),
        ("1.trim()", "trim needs a string, and finds a number"),
        ("int('1_0')", 'int() makes a whole number of digits or of a number, not of "1_0"'),
        ("int('٣')", "int() makes a whole number of digits"),
        ("double('nan')", "double() makes a number"),
        ("double('1e999')", "the number is too large for a double"),
        ("int(1e300)", "the whole number has more than 64 bits"),
        ("string([1])", "string() makes no string of a list"),
        ("bool('yes')", 'bool() knows "true" and "false", not "yes"'),
        ("1.map(x, x)", "map looks at the items of a list, and 1 is a number"),
        ("[1, 2].all(x, x + 1)", "x + 1 is a number, where true or false is needed"),
        ("{'a': 1, 'a': 2}", 'the key "a" is there twice'),
        ("{1: 2}", "a number is no key"),
    ],
)
def test_what_has_no_value_is_said_with_its_remedy(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(expression)
    assert message in str(caught.value)
    assert str(caught.value).startswith("${{ ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("expression", "offset", "message"),
    [
        ("1 +", 8, "it ends too early; write a value"),
        ("(1", 7, "write ) to close the ("),
        ("[1", 7, "write ] to close the list"),
        ("1 2", 6, '"2" is not expected here; write an operator or the end'),
        ("inputs.n and true", 13, '"and" is not expected here; write &&'),
        ("inputs.n = 1", 13, '"=" has no meaning here; write == to compare'),
        ("None", 4, "None is unknown; write null"),
        ("file.x", 4, "file is unknown; a path starts with one of: inputs"),
        ("1u", 4, "1u is no number"),
        ("1e999", 4, "is too large"),
        ("9223372036854775808", 4, "the number is too large"),
        ("b'a'", 4, "bytes are no JSON value"),
        (r"'\q'", 4, r"\q is no escape; write \\ for a backslash"),
        (r"'\ud800'", 4, "half of a surrogate pair"),
        ("'abc", 4, "a text is not closed"),
        ("r'abc", 4, "a text is not closed"),
        ("siz(1)", 4, "there is no function siz; did you mean size?"),
        ("size()", 4, "size takes 1, not 0 arguments; give it 1"),
        ("'a'.size(1)", 8, "size takes 0, not 1 arguments; give it 0"),
        ("['a'].join('b', 'c')", 10, "join takes 0 or 1, not 2 arguments"),
        ("contains('a', 'b')", 4, "write text.contains(...)"),
        ("'1'.int()", 8, "write int(...)"),
        ("[1].map(x)", 13, "write , after the name of map's variable"),
        ("[1].map(x, 1, 2, 3)", 8, "map takes 2 or 3, not 4 arguments"),
        ("[1].map(1, 2)", 12, "write the name of map's variable"),
        ("has(1)", 4, "has() asks for a key of an object"),
        ("has(inputs)", 4, "has() asks for a key of an object"),
        ("has(steps.a.output)", 4, "steps.a.output is always there; compare it"),
        ("1 == steps", 9, "the step's name is missing"),
        ("1 == steps.a.outputs", 9, "steps.a must be followed by one of: output, status, error"),
        ("steps[inputs.x].output", 4, "the step's name is missing"),
        ("size(last)", 9, "last must be followed by one of: output, status, error"),
        ("'a'.matches('(')", 16, "a ( is not closed"),
        ("true ? 1", 13, "write : between the two sides of the choice"),
        ("{'a' 1}", 9, "write : after the key"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(expression: str, offset: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_value("${{ " + expression + " }}")
    assert message in str(caught.value)
    assert caught.value.offset == offset


ANSWERS = """
import json, sys
from tenuto.core.canonical import digest_of
from tenuto.core.expressions import parse_value
given = json.load(sys.stdin)
print(digest_of([parse_value("${{ " + one + " }}").evaluate(given["scope"]) for one in given["expressions"]]))
"""


def test_answers_do_not_depend_on_the_hash_seed() -> None:
    given_ = json.dumps({"scope": SCOPE, "expressions": [expression for expression, _ in EXAMPLES]})
    answers = {
        subprocess.run(
            [sys.executable, "-c", ANSWERS],
            input=given_,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(answers) == 1
