"""The ways in which a secret's value is likely to be written: plain, in JSON, in URLs, in base64.

Pure. A value that a program transforms otherwise (reversed, encrypted, a letter a line) is not recognised: these are
the forms in which tools print what they were given, not those of somebody who wants to hide it.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from urllib.parse import quote, quote_plus

import msgspec

__all__ = ["BUILTIN_PATTERNS", "SHORTEST", "WRAPPED_FROM", "Pattern", "anchors_of", "forms_of", "read_pattern"]

SHORTEST = 8
"""Characters of the shortest value, and of the shortest form, that is recognised."""
WRAPPED_FROM = 48
"""Base64 from this length on is also recognised where it is broken into lines."""

_IN_COMPONENTS = "!'()*~"
_IN_WHOLE_URLS = ";,/?:@&=+$!'()*~#"
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")
_ANCHOR_MIN = 6
_HEX = re.compile("%[0-9A-F]{2}")
_PATTERN = re.compile(r"([A-Za-z0-9_.+/=@:-]{3,64})\[((?:[^\[\]\\]|\\-)+)\]\{(\d{1,4})(?:,(\d{0,4}))?\}\Z")

BUILTIN_PATTERNS = {
    "anthropic-key": "sk-ant-[A-Za-z0-9_-]{24,200}",
    "aws-access-key": "AKIA[A-Z0-9]{16}",
    "github-app-token": "ghs_[A-Za-z0-9]{36}",
    "github-fine-token": "github_pat_[A-Za-z0-9_]{36,200}",
    "github-oauth-token": "gho_[A-Za-z0-9]{36}",
    "github-token": "ghp_[A-Za-z0-9]{36}",
    "gitlab-token": "glpat-[A-Za-z0-9_-]{20,100}",
    "google-api-key": "AIza[A-Za-z0-9_-]{35}",
    "openai-project-key": "sk-proj-[A-Za-z0-9_-]{24,300}",
    "private-key": "-----BEGIN PRIVATE KEY-----[A-Za-z0-9+/=\r\n]{16,}",
    "rsa-private-key": "-----BEGIN RSA PRIVATE KEY-----[A-Za-z0-9+/=\r\n]{16,}",
    "slack-bot-token": "xoxb-[A-Za-z0-9-]{24,200}",
    "ssh-private-key": "-----BEGIN OPENSSH PRIVATE KEY-----[A-Za-z0-9+/=\r\n]{16,}",
}
"""Patterns that a configuration may turn on by name."""


class Pattern(msgspec.Struct, frozen=True):
    """A literal beginning, which is looked for first, and the regular expression of the whole."""

    begins: str
    expression: str


def read_pattern(text: str) -> Pattern:
    """`BEGINNING[characters]{least,most}`: a literal of 3 characters or more, then one set of characters, counted.

    No other expressions are taken: these match in linear time, whatever they are held against. ValueError.
    """
    found = _PATTERN.match(text) if text not in BUILTIN_PATTERNS.values() else None
    if found is None and text not in BUILTIN_PATTERNS.values():
        raise ValueError("a pattern is a beginning of 3 characters or more, then [characters]{least,most}")
    begins = found[1] if found else text[: text.index("[")]
    try:
        re.compile(text[len(begins) :])
    except (re.error, OverflowError) as error:
        raise ValueError(f"the pattern's characters cannot be used: {error}") from None
    least = int(text.rpartition("{")[2].partition(",")[0].rstrip("}"))
    if len(begins) + least < SHORTEST:
        raise ValueError(f"the pattern matches fewer than {SHORTEST} characters")
    return Pattern(begins, re.escape(begins) + text[len(begins) :])


def forms_of(value: str) -> tuple[str, ...]:
    """All forms of a value that are `SHORTEST` characters long or longer, the longest first, without repeats.

    A value of several lines counts line by line too: programs print such values so.
    """
    found: set[str] = set()
    for part in {value, *(line.strip() for line in value.splitlines())}:
        found |= {part, *_in_json(part), *_in_urls(part), *_in_base64(part)}
    return tuple(sorted((one for one in found if len(one) >= SHORTEST), key=lambda one: (-len(one), one)))


def anchors_of(value: str) -> tuple[str, ...]:
    """A few pieces of text of which every form of a value holds one: who finds none need not look for the forms.

    Letters, digits and `_.-` stand as they are in JSON and in URLs, and letters and digits in both alphabets of
    base64. Where a value has no such piece that is long enough, its forms stand for themselves.
    """
    found: set[str] = set()
    for part in {value, *(line.strip() for line in value.splitlines())}:
        plain = max(_PLAIN.findall(part), key=len, default="")
        if len(plain) >= _ANCHOR_MIN:
            found.add(plain)
        else:
            found |= {one for one in (part, *_in_json(part), *_in_urls(part)) if len(one) >= SHORTEST}
        for one in _in_base64(part):
            piece = max(_ALPHANUMERIC.findall(one), key=len, default="")
            if len(one) >= SHORTEST:
                found.add(piece if len(piece) >= _ANCHOR_MIN else one)
    return tuple(sorted(one for one in found if not any(other in one for other in found - {one})))


def _in_json(value: str) -> set[str]:
    """As a JSON string, with and without escapes beyond ASCII, and as one inside another."""
    once = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    once |= {one.replace("/", "\\/") for one in once}
    return once | {json.dumps(one, ensure_ascii=False)[1:-1] for one in once}


def _in_urls(value: str) -> set[str]:
    quoted = {quote(value, safe=safe) for safe in ("", "/", _IN_COMPONENTS, _IN_WHOLE_URLS)}
    quoted.add(quote_plus(value))
    return quoted | {_HEX.sub(lambda found: found[0].lower(), one) for one in quoted}


def _in_base64(value: str) -> set[str]:
    """Inside a longer encoded text, at each of the three places where its bytes may begin, in both alphabets.

    Characters that also depend on the bytes before and after are left out: they vary. Alone it ends in padding.
    """
    data = value.encode()
    found = {b64encode(data).decode()}
    for before in range(3):
        encoded = b64encode(b"\0" * before + data).decode()
        found.add(encoded[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6])
    return found | {one.replace("+", "-").replace("/", "_") for one in found}
