"""Replacing secrets by `[secret:NAME]` in everything that enters the engine, and finding them in files.

Pure. What passes here is what is hashed, stored and prompted, so live prompts and replay see the same text, and
replay needs no secret. Linear in what it reads: a search for each form, and where one is found one expression of
all forms.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from tenuto.core.canonical import canonical, parse
from tenuto.core.content import Content
from tenuto.core.secret_forms import SHORTEST, WRAPPED_FROM, Pattern, anchors_of, forms_of

__all__ = ["NOTHING_SECRET", "Found", "Redactor", "placeholder"]

T = TypeVar("T")

_IDENTITIES = frozenset(
    {
        *("attempt", "call", "closed", "commit", "digest", "extends", "key", "lanes", "lock", "ordinal"),
        *("path", "plan", "registry", "repository", "run", "seed", "status", "timer", "tree", "try_number"),
    }
)
"""Fields of events that the engine itself made, or that name places: they are never altered."""
_NO_TEXT = frozenset({int, bool, float, type(None)})
_BREAKS = {10: None, 13: None}


class Found(NamedTuple):
    """Where a secret stands in a file: line, from 1, and the secret's name. Never its value."""

    line: int
    name: str


def placeholder(name: str) -> str:
    """What stands in a secret's place."""
    return f"[secret:{name}]"


class Redactor:
    """Knows values by name, and patterns by name. Values shorter than `SHORTEST` characters are not looked for."""

    def __init__(self, values: Mapping[str, str], patterns: Mapping[str, Pattern] | None = None) -> None:
        self._patterns = dict(sorted((patterns or {}).items()))
        self._names: dict[str, str] = {}
        anchors: dict[str, None] = {}
        for name, value in sorted(values.items()):
            if len(value) >= SHORTEST:
                anchors |= dict.fromkeys(anchors_of(value))
                for form in forms_of(value):
                    self._names.setdefault(form, name)
        ordered = sorted(self._names, key=lambda form: (-len(form), form))
        self._begins = tuple(one.begins for one in self._patterns.values())
        self._anchors = (*anchors, *self._begins)
        # Escaping for JSON goes letter by letter, so a piece inside a string is its escaped form inside the body.
        self._anchors_in_bodies = tuple(canonical(one)[1:-1] for one in self._anchors)
        self._anchors_in_files = tuple(one.encode() for one in anchors)
        self._wrapped = tuple(form for form in ordered if len(form) >= WRAPPED_FROM)
        self._in_files = tuple((form.encode(), self._names[form]) for form in ordered)
        self._in_wide_files = tuple(
            (value.encode(encoding), name)
            for name, value in sorted(values.items())
            if len(value) >= SHORTEST
            for encoding in ("utf-16-le", "utf-16-be")
        )
        self._whole = _expression(ordered, [one.expression for one in self._patterns.values()])

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look for."""
        return self._whole is None

    def text(self, text: str) -> str:
        """The text with every secret replaced."""
        if self._whole is None:
            return text
        text = self._unwrapped(text)
        if any(piece in text for piece in self._anchors):
            text = self._whole.sub(self._placeholder, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with every secret replaced: in strings, in keys, and in numbers that are one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            text = str(value)
            replaced = self.text(text)
            return value if replaced == text else replaced
        return value

    def content(self, content: Content) -> Content:
        """A body with every secret replaced, under its new digest."""
        if self._whole is None or not content.at_hand:
            return content
        data = content.data
        squeezed = data.replace(b"\\n", b"").replace(b"\\r", b"") if self._wrapped else b""
        if not any(piece in data or piece in squeezed for piece in self._anchors_in_bodies):
            return content
        return Content.of(self.value(parse(data)))

    def event(self, event: T) -> T:
        """An event, a request or a part of one with every secret replaced; the very same where it holds none."""
        return event if self._whole is None else self._part(event)

    def _part(self, part: Any) -> Any:
        if type(part) in _NO_TEXT:
            return part
        if isinstance(part, str):
            return self.text(part)
        if isinstance(part, Content):
            return self.content(part)
        if isinstance(part, tuple):
            items = [self._part(item) for item in part]
            return tuple(items) if any(a is not b for a, b in zip(items, part, strict=True)) else part
        if isinstance(part, dict):
            found = {name: self._part(item) for name, item in part.items()}
            return found if any(found[name] is not item for name, item in part.items()) else part
        if not isinstance(part, msgspec.Struct):
            return part
        changes: dict[str, Any] = {}
        for name in _fields(type(part)):
            held = getattr(part, name)
            kept = self._part(held)
            if kept is not held:
                changes[name] = kept
        return msgspec.structs.replace(part, **changes) if changes else part

    def find(self, data: bytes) -> Found | None:
        """The first secret in a file's bytes; in UTF-16 too, and in base64 that is broken into lines."""
        forms = self._in_files if any(piece in data for piece in self._anchors_in_files) else ()
        wide = self._in_wide_files if b"\0" in data else ()
        hits = [(at, name) for form, name in (*forms, *wide) if (at := data.find(form)) >= 0]
        for (name, pattern), begins in zip(self._patterns.items(), self._begins, strict=True):
            if begins.encode() in data:
                match = re.search(pattern.expression.encode(), data)
                hits += [(match.start(), name)] if match else []
        if hits:
            at, name = min(hits)
            return Found(data.count(b"\n", 0, at) + 1, name)
        if self._wrapped and b"\n" in data:
            squeezed = data.translate(None, b"\r\n")
            for form in self._wrapped:
                if form.encode() in squeezed:
                    match = re.search(_broken(form).encode(), data)
                    return Found(data.count(b"\n", 0, match.start() if match else 0) + 1, self._names[form])
        return None

    def whole(self, data: bytes) -> bytes:
        """Output that was cut off, without an end that may be the beginning of a secret."""
        cut = 0
        for form, _ in self._in_files:
            for length in range(min(len(form) - 1, len(data)), cut, -1):
                if data.endswith(form[:length]):
                    cut = length
                    break
        return data[: len(data) - cut] if cut >= _TELLING else data

    def _unwrapped(self, text: str) -> str:
        if not self._wrapped or "\n" not in text:
            return text
        squeezed = text.translate(_BREAKS)
        for form in self._wrapped:
            if form in squeezed:
                text = re.sub(_broken(form), placeholder(self._names[form]), text)
        return text

    def _placeholder(self, match: re.Match[str]) -> str:
        name = self._names.get(match[0])
        if name is None:
            name = next(n for n, one in self._patterns.items() if re.fullmatch(one.expression, match[0]))
        return placeholder(name)


_TELLING = 4
"""Characters of a secret's beginning that may be seen at the end of output that was cut off: fewer tell nothing."""


@lru_cache(256)
def _fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if name not in _IDENTITIES)


def _expression(forms: list[str], patterns: list[str]) -> re.Pattern[str] | None:
    branches = [*map(re.escape, forms), *patterns]
    return re.compile("|".join(branches)) if branches else None


def _broken(form: str) -> str:
    """A form that may be broken into lines anywhere."""
    return r"[\r\n]*".join(map(re.escape, form))


NOTHING_SECRET = Redactor({})
