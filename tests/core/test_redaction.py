"""Secrets are taken out of what enters the engine, in every form that is promised, and out of nothing else."""

from __future__ import annotations

import base64
import json
import urllib.parse
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tenuto.core.canonical import canonical, digest
from tenuto.core.content import Content
from tenuto.core.events.call import ToolCallFailed, ToolReturned
from tenuto.core.events.step import Failure
from tenuto.core.ids import Digest, Position
from tenuto.core.redaction import NOTHING_SECRET, Found, Redactor
from tenuto.core.secret_forms import BUILTIN_PATTERNS, anchors_of, forms_of, read_pattern

SECRET = 'p"ä/ss\\w+rd=Zx9 &end'

values = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=8, max_size=60).filter(
    lambda text: len(text.strip()) >= 8 and len(text.splitlines()) == 1
)
around = st.text("abcXYZ 019", max_size=7)


def ways(value: str, before: str, after: str) -> dict[str, str]:
    """How programs print a value between two others."""
    whole = (before + value + after).encode()
    return {
        "plain": before + value + after,
        "json": json.dumps({"key": before + value + after}),
        "json in utf-8": json.dumps({"key": before + value + after}, ensure_ascii=False),
        "json twice": json.dumps(json.dumps(before + value + after)),
        "url": before + urllib.parse.quote(value) + after,
        "url part": before + urllib.parse.quote(value, safe="") + after,
        "form": urllib.parse.urlencode({"key": value}),
        "base64": base64.b64encode(whole).decode(),
        "base64 for urls": base64.urlsafe_b64encode(whole).decode(),
        "base64 in lines": base64.encodebytes(whole).decode(),
    }


def undone(text: str) -> set[str]:
    """A text with one thing undone that programs do to what they print."""
    found = {text, urllib.parse.unquote(text), urllib.parse.unquote_plus(text)}
    with suppress(ValueError):
        found.add(str(json.loads(text)))
        held = json.loads(text)
        found |= {str(one) for one in held.values()} if isinstance(held, dict) else set()
    for alphabet in (None, b"-_"):
        with suppress(ValueError):
            found.add(base64.b64decode(text, altchars=alphabet, validate=False).decode(errors="replace"))
    return found


def told(text: str, value: str) -> bool:
    """Whether a value can be read out of a text."""
    once = undone(text)
    return any(value in two for one in once for two in undone(one))


@given(values, around, around)
@example(SECRET, "", "").via("every kind of character")
@example("x" * 57, "a", "").via("base64 that is broken into lines")
def test_no_form_passes(value: str, before: str, after: str) -> None:
    assume(value not in before + after)
    redactor = Redactor({"KEY": value})
    for way, text in ways(value, before, after).items():
        assert told(text, value), way
        assert not told(redactor.text(text), value), way
        body = redactor.content(Content.of({"stdout": text, text: [1, text]}))
        assert not told(body.value["stdout"], value), way
        assert not any(told(key, value) for key in body.value), way


@pytest.mark.parametrize("at", [0, 1, 2])
def test_base64_at_each_of_its_three_places(at: int) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(b"\xff" * at + SECRET.encode() + b"tail").decode()
        shown = Redactor({"KEY": SECRET}).text(text)
        assert "[secret:KEY]" in shown
        assert max(map(len, shown.split("[secret:KEY]"))) <= 10


def test_what_holds_none_stays_the_very_same() -> None:
    redactor = Redactor({"KEY": SECRET}, {"gh": read_pattern(BUILTIN_PATTERNS["github-token"])})
    event = ToolReturned(
        call=Position("a/1/0"), result=Content.of({"stdout": "plain"}), status="ok", tree=Digest("0" * 64)
    )
    assert redactor.event(event) is event
    assert NOTHING_SECRET.event(event) is event
    assert redactor.text("ghp_ and p ss") == "ghp_ and p ss"


def test_an_event_is_redacted_in_all_its_text_and_its_digests_follow() -> None:
    redactor = Redactor({"KEY": SECRET, "OTHER": "second-secret"})
    returned = ToolReturned(
        call=Position("a/1/0"),
        result=Content.of({"stdout": f"{SECRET}!", "n": [SECRET, 1]}),
        status="ok",
        tree=Digest("0" * 64),
        violations=(f"$: {SECRET}", "fine"),
    )
    seen = redactor.event(returned)
    assert seen.result.value == {"stdout": "[secret:KEY]!", "n": ["[secret:KEY]", 1]}
    assert seen.result.digest == digest(canonical(seen.result.value))
    assert seen.violations == ("$: [secret:KEY]", "fine")
    failed = ToolCallFailed(
        call=Position("a/1/0"), error=Failure(kind="crashed", message="no second-secret"), retryable=False
    )
    assert redactor.event(failed).error.message == "no [secret:OTHER]"


def test_a_number_that_is_a_secret() -> None:
    assert Redactor({"PIN": "1234567890"}).content(Content.of({"n": 1234567890})).value == {"n": "[secret:PIN]"}


def test_a_value_of_several_lines_counts_line_by_line() -> None:
    value = "-----BEGIN KEY-----\nQUJDREVGR0hJSktM\nTU5PUFFSU1RVVldY\n-----END KEY-----"
    redactor = Redactor({"KEY": value})
    assert redactor.text(f"a {value} b") == "a [secret:KEY] b"
    assert "TU5PUFFS" not in redactor.text("line 3: TU5PUFFSU1RVVldY")


def test_short_values_are_not_looked_for() -> None:
    assert Redactor({"KEY": "seven77"}).idle


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a\nb\n" + SECRET.encode(), 3),
        (b"\xff\n" + SECRET.encode("utf-16-le"), 2),
        (b"x = " + json.dumps(SECRET).encode() + b"\n", 1),
        (b"\n\n" + base64.encodebytes(b"." * 50 + SECRET.encode() * 4), None),
    ],
)
def test_files_that_hold_one_are_found_with_the_line(data: bytes, line: int | None) -> None:
    found = Redactor({"KEY": SECRET}).find(data)
    assert found is not None
    assert found.name == "KEY"
    assert line in (None, found.line)
    assert Redactor({"KEY": SECRET}).find(b"nothing\nhere\0") is None


def test_output_that_was_cut_off_does_not_end_with_half_a_secret() -> None:
    redactor = Redactor({"KEY": "0123456789abcdef"})
    assert redactor.whole(b"out 0123456789") == b"out "
    assert redactor.whole(b"out 012") == b"out 012"
    assert redactor.whole(b"out") == b"out"
    assert redactor.whole(b"") == b""


def test_patterns() -> None:
    redactor = Redactor({}, {name: read_pattern(text) for name, text in BUILTIN_PATTERNS.items()})
    token = "ghp_" + "aB3" * 12
    assert redactor.text(f"token {token}.") == "token [secret:github-token]."
    key = "-----BEGIN PRIVATE KEY-----\n" + "QUJD" * 16 + "\n-----END"
    assert "QUJD" not in redactor.text(key)
    assert redactor.content(Content.of({"a": token})).value == {"a": "[secret:github-token]"}
    assert redactor.find(f"\n{token}".encode()) == Found(2, "github-token")


@pytest.mark.parametrize(
    "text",
    ["(a+)+", "ab[c]{9}", "acme_[0-9]+", "acme_[0-9", "acme_[0-9]{1,2}{3}", "acme_[z-a]{9}", "acme_[a]{1}", ""],
)
def test_patterns_that_could_take_long_or_match_everything_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_pattern(text)


def test_forms_are_long_enough_and_the_longest_come_first() -> None:
    forms = forms_of("abc/defgh")
    assert all(len(one) >= 8 for one in forms)
    assert list(forms) == sorted(forms, key=lambda one: (-len(one), one))


@given(values)
@example(SECRET)
@example("%%%%++++//==")
def test_every_form_holds_an_anchor(value: str) -> None:
    anchors = anchors_of(value)
    assert all(any(anchor in form for anchor in anchors) for form in forms_of(value))


def test_any_structure_of_requests_and_events_is_walked() -> None:
    class Inner(msgspec.Struct, frozen=True):
        notes: dict[str, Any]

    class Outer(msgspec.Struct, frozen=True):
        inner: tuple[Inner, ...]
        path: str

    seen = Redactor({"KEY": "long-secret"}).event(Outer((Inner({"a": "long-secret", "b": 1}),), "long-secret"))
    assert seen.inner[0].notes == {"a": "[secret:KEY]", "b": 1}
    assert seen.path == "long-secret"
