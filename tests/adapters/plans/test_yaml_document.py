from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.adapters.plans import yaml_document
from tenuto.adapters.plans.yaml_document import Document, read_yaml, written
from tenuto.core.canonical import canonical, parse
from tenuto.errors import InvalidPlanError


def value(text: str) -> Any:
    return read_yaml(text.encode(), "p.yaml").value


def refusal(data: str | bytes) -> str:
    with pytest.raises(InvalidPlanError) as caught:
        read_yaml(data if isinstance(data, bytes) else data.encode(), "p.yaml")
    assert caught.value.fix
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1e3", -1000.0),
        ("1e", "1e"),
        ("=", "="),
        ("<<", "<<"),
        ('"1"', "1"),
        ("'null'", "null"),
        ('""', ""),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        ('"\\u00e9\\U0001F600\\t"', "é😀\t"),
        ("[a, {b: 1}, ]", ["a", {"b": 1}]),
        ("{a: }", {"a": None}),
        ("a:\n- 1\n- 2\n", {"a": [1, 2]}),
        ("%YAML 1.2\n---\na: b\n...\n", {"a": "b"}),
        ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
        ("a:\tb", {"a": "b"}),
        ("9" * 1000, int("9" * 1000)),
        ("0" * 5000 + "1", 1),
    ],
)
def test_the_core_schema_of_yaml_1_2(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("", "p.yaml:1:1: the file is empty"),
        ("# only words\n", "p.yaml:1:1: the file is empty"),
        ("[" * 20_000, "p.yaml:1:65: values are nested more than 64 deep"),
        ("- " * 20_000, "p.yaml:1:129: values are nested more than 64 deep"),
        ("{a: " * 20_000, "p.yaml:1:257: values are nested more than 64 deep"),
        ("[" + "a," * 300_000 + "]", "p.yaml:1:400000: the file holds more than 200000 values"),
        ("x" * (1 << 20) + "x", "p.yaml:1:1: the file is larger than 1048576 bytes"),
        ("a: " + "9" * 5_000, "p.yaml:1:4: an integer has more than 1000 digits"),
        ("a: -" + "9" * 5_000, "p.yaml:1:4: an integer has more than 1000 digits"),
        ("a: 0x" + "f" * 5_000, "p.yaml:1:4: an integer has more than 500 digits"),
        ("a: 1e999", "p.yaml:1:4: the number is too large"),
        ("a: .nan", "p.yaml:1:4: .nan is not a number in JSON"),
        ("a: -.inf", "p.yaml:1:4: -.inf is not a number in JSON"),
        ("a: &x 1\nb: *x", "p.yaml:1:4: the anchor &x is not allowed"),
        ("a: *x", "p.yaml:1:4: the alias *x is not allowed"),
        ("a: !!python/object:os.system x", "p.yaml:1:4: the tag tag:yaml.org,2002:python/object:os.system is not"),
        ("a: !x {}", "p.yaml:1:4: the tag !x is not allowed"),
        ("a: 1\n\nb:\n  c: 1\n  c: 2\n", "p.yaml:5:3: the key c is written twice, first in line 4"),
        ("{a: 1, \"a\": 2}", "p.yaml:1:8: the key a is written twice, first in line 1"),
        ("1: a", "p.yaml:1:1: the key 1 is not a string"),
        ("null: a", "p.yaml:1:1: the key null is not a string"),
        ("? [a]\n: b", "p.yaml:1:3: a key is not a string"),
        ("\ta: 1", "p.yaml:1:1: a tab indents this line"),
        ("a:\n\t- b", "p.yaml:2:1: a tab indents this line"),
        ("a: 1\n---\nb: 1", "p.yaml:2:1: a second document starts here"),
        ("%YAML 1.1\n---\na: b", "p.yaml:1:1: the file asks for YAML 1.1"),
        ("a: b: c", "p.yaml:1:5: this cannot be read as YAML: mapping values are not allowed"),
        ("a: 'b", "p.yaml:1:6: this cannot be read as YAML"),
        ("a: {b: ${{ x }} }", "p.yaml:1:9: this cannot be read as YAML"),
        ('a: "\\ud800"', "p.yaml:1:"),
        ('a: "\\0"', "p.yaml:1:4: a string holds NUL"),
        (b"a: \x00", "p.yaml:1:4: NUL is not allowed"),
        (b"a: b\nc: \x1b[1m", "p.yaml:2:4: the character U+001B is not allowed"),
        ("a: \u2028", "p.yaml:1:4: the character U+2028 is not allowed"),
        (b"a: \xc3\xa9\nb: \xff", "p.yaml:2:4: the byte 0xff is not UTF-8"),
        (b"a: \xed\xa0\x80", "p.yaml:1:4: the byte 0xed is not UTF-8"),
        (b"\xef\xbb\xbfa: 1", "p.yaml:1:1: the file starts with a byte order mark"),
        ("a: 1".encode("utf-16"), "p.yaml:1:1: the file is UTF-16"),
    ],
    ids=lambda data: repr(data[:16]),
)  # fmt: skip
def test_bad_input_is_one_line_with_its_place(data: str | bytes, line: str) -> None:
    found = refusal(data)
    assert found.startswith(line)
    assert found.isprintable()
    assert len(found) < 300


def test_the_parser_without_c_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1, 'x', {b: ~}]\nc:\n  - d: |\n      e\n  - f\n"
    fast = read_yaml(text.encode(), "p.yaml")
    import yaml

    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    slow = read_yaml(text.encode(), "p.yaml")
    assert (slow.value, slow.keys, slow.values) == (fast.value, fast.keys, fast.values)
    assert refusal('a: "\\ud800"').startswith("p.yaml:1:4: a string holds NUL or half of a surrogate pair")
    assert "tab" in refusal("a:\n\t- b")
    assert "nested" in refusal("[" * 20_000)
    assert refusal('a: "\\U00110000"').startswith("p.yaml:1:")


def test_every_key_and_value_has_a_place() -> None:
    document = read_yaml(b"a: 1\nb:\n  - x\n  - {c: d}\n", "p.yaml", first_line=10)
    assert document.place(("a",)) == "p.yaml:10:4"
    assert document.place(("a",), key=True) == "p.yaml:10:1"
    assert document.place(("b", 1, "c")) == "p.yaml:13:9"
    assert document.place(("b", 1, "c"), key=True) == "p.yaml:13:6"
    assert document.place(("b", 1, "gone", 3)) == "p.yaml:13:5", "the nearest part around it"
    assert document.place(()) == "p.yaml:10:1"
    assert Document("q", None, {}, {}).place(("a",)) == "q:1:1"


def test_paths_are_written_as_messages_show_them() -> None:
    assert written(("steps", "fix-it", "needs", 0, "odd key")) == 'steps.fix-it.needs[0]["odd key"]'


def test_positions_after_characters_outside_the_basic_plane_count_characters() -> None:
    assert refusal('"é😀": &x 1').startswith("p.yaml:1:7: the anchor")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text("ab \"'\\:#-é😀\n{}", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc: ", max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(JSON)
def test_json_is_read_as_json_reads_it(tree: Any) -> None:
    text = canonical(tree)
    if text.isascii():
        assert read_yaml(text, "p.yaml").value == parse(text)


@settings(max_examples=150, deadline=None)
@given(
    st.text("ab01:-[]{}&*!?|>'\"#%@`, \n\t~.\\<=$", max_size=60)
    | st.binary(max_size=40).map(lambda b: b.decode("latin-1"))
)
def test_any_text_gives_a_document_or_one_line(text: str) -> None:
    found = ""
    try:
        canonical(read_yaml(text.encode(), "p.yaml").value)
    except InvalidPlanError as error:
        found = str(error)
    assert found.isprintable()


def test_limits_are_what_the_messages_say() -> None:
    assert value("[" * 64 + "]" * 64) is not None
    assert yaml_document.DEPTH_MAX == 64
