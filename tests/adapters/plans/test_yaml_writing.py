"""Written YAML is read back as the same value, whatever the texts are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tenuto.adapters.plans.yaml_document import read_yaml
from tenuto.adapters.plans.yaml_writing import Block, yaml_text
from tenuto.core.canonical import canonical
from tenuto.testing.plan_values import ODD_TEXTS, json_values, texts


def read(text: str) -> Any:
    return read_yaml(text.encode(), "written").value


values = st.dictionaries(texts, st.one_of(json_values, st.dictionaries(texts, json_values).map(Block)), min_size=1)


@settings(max_examples=300, deadline=None)
@given(values)
def test_any_json_object_reads_back(value: dict[str, Any]) -> None:
    text = yaml_text(value)
    assert canonical(read(text)) == canonical(value)
    assert yaml_text(value) == text


@pytest.mark.parametrize("text", [odd for odd in ODD_TEXTS if "\x00" not in odd], ids=ascii)
def test_odd_texts_read_back_everywhere(text: str) -> None:
    long = "x" * 90
    value = {"a": text, text: 1, "b": [text, [text], {text: text}], "c": {"d": text, "e": long}, "f": [text, long]}
    assert read(yaml_text(value)) == value
    assert read(yaml_text({"k": Block(one=Block(two=[text, Block({text: text})]))})) == {
        "k": {"one": {"two": [text, {text: text}]}}
    }


def test_other_readers_of_yaml_take_the_words_for_texts_too() -> None:
    """PyYAML reads by YAML 1.1, where `no` and `12:30` are no texts."""
    value = {word: word for word in ("no", "Yes", "on", "y", "null", "~", "1_000", "0x10", "12:30:45", "2026-01-01")}
    assert yaml.safe_load(yaml_text(value)) == value


def test_keys_too_long_to_stand_before_a_colon_are_written_otherwise() -> None:
    value = {"k" * 2_000: {"j" * 2_000: ["x" * 2_000, {"i" * 2_000: 1}]}}
    assert read(yaml_text(value)) == value


def test_the_shapes_are_those_people_write() -> None:
    value = {
        "name": "notes",
        "budget": {"usd": "2.00", "time": "10m"},
        "steps": Block(
            write=Block(
                {
                    "foreach": "${{ inputs.topics }}",
                    "prompt": "Write.\n\n  Twice.\n",
                    "with": {"what": "${{ item }}", "many": [1, 2.5, None, True, "no"]},
                }
            ),
            run=Block(run="echo 'a: b'", needs=["write"]),
        ),
    }
    assert yaml_text(value) == (
        "name: notes\n"
        'budget: { usd: "2.00", time: 10m }\n'
        "steps:\n"
        "  write:\n"
        "    foreach: ${{ inputs.topics }}\n"
        "    prompt: |\n"
        "      Write.\n"
        "\n"
        "        Twice.\n"
        '    with: { what: "${{ item }}", many: [1, 2.5, null, true, "no"] }\n'
        "  run:\n"
        "    run: \"echo 'a: b'\"\n"
        "    needs: [write]\n"
    )


def test_what_is_no_json_is_refused() -> None:
    for wrong in (float("nan"), "\ud800", object()):
        with pytest.raises(ValueError, match="canonical"):
            yaml_text({"a": wrong})
