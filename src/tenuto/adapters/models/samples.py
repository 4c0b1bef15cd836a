"""A JSON value that is valid for a JSON Schema, derived from a seed.

Covers what schemas of tools and outputs use: types, enum, const, objects, arrays, bounds, lengths, formats,
anyOf, oneOf, allOf, local $ref; patterns and `not` by trial. Every value is checked before it is returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from tenuto.adapters.models.conjunctions import DeadEndError, merged
from tenuto.adapters.models.draws import Draw
from tenuto.adapters.models.patterns import matching

__all__ = ["sample"]

_TRIALS = 24
_DEPTH_MAX = 128
_STEPS_MAX = 256
"""References and alternatives followed for one value."""
_DEPTH_SHORT = 6
"""From this depth on only what is required is made, so that recursive schemas come to an end."""

_FORMATS = {
    "date": "2024-05-17",
    "date-time": "2024-05-17T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT5M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uuid": "6f1e1c5e-3f57-4b6e-9d0c-0a1b2c3d4e5f",
    "regex": "a+",
    "json-pointer": "/a",
}


def sample(schema: Any, draw: Draw) -> Any:
    """A value valid for `schema` (a decoded JSON Schema). ValueError where none was found, or for a bad schema."""
    is_valid = _checker(schema)
    maker = _Maker(schema, draw)
    for trial in range(_TRIALS):
        try:
            value = maker.value(schema, 0 if trial < _TRIALS // 2 else _DEPTH_SHORT)
        except DeadEndError:
            continue
        if is_valid(value):
            return value
    raise ValueError("found no value that is valid for the schema")


def _checker(schema: Any) -> Callable[[Any], bool]:
    """Whether a value is valid for `schema`. References never leave it: nothing is fetched."""
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(schema, retriever=_refuse).is_valid
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(f"not a usable JSON Schema: {str(error).splitlines()[0]}") from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema")


class _Maker:
    def __init__(self, root: Any, draw: Draw) -> None:
        self._root = root
        self._draw = draw

    def value(self, schema: Any, depth: int) -> Any:
        if depth > _DEPTH_MAX:
            raise DeadEndError("nested too deeply")
        if schema is False:
            raise DeadEndError("nothing is valid")
        if not isinstance(schema, dict):
            return self._draw.text(8)
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._draw.choose(self._allowed(schema))
        match self._type(schema, depth):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return bool(self._draw.below(2))
            case _:
                return None

    def _allowed(self, schema: dict[str, Any]) -> list[Any]:
        """The members of an enum that the keywords beside it admit."""
        rest = {k: v for k, v in schema.items() if k not in ("enum", "$schema", "$id")}
        is_valid = _checker({**{k: v for k, v in self._root_dict.items() if k in ("$defs", "definitions")}, **rest})
        members = [member for member in schema["enum"] if is_valid(member)]
        if not members:
            raise DeadEndError("no member of the enum is valid")
        return members

    @property
    def _root_dict(self) -> dict[str, Any]:
        return self._root if isinstance(self._root, dict) else {}

    def _resolved(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """`schema` with references followed, alternatives chosen and conjunctions merged into one object."""
        for _ in range(_STEPS_MAX):
            if "$ref" in schema:
                rest = {k: v for k, v in schema.items() if k != "$ref"}
                schema = merged(rest, self._target(schema["$ref"]))
            elif "allOf" in schema:
                parts = schema["allOf"]
                schema = {k: v for k, v in schema.items() if k != "allOf"}
                for part in parts:
                    schema = merged(schema, part)
            elif (key := next((k for k in ("anyOf", "oneOf") if k in schema), None)) is not None:
                options = [o for o in schema[key] if o is not False]
                if not options:
                    raise DeadEndError("no alternative is valid")
                if depth >= _DEPTH_SHORT:
                    options.sort(key=_weight)
                    options = options[: max(1, 1 + self._draw.below(2))]
                rest = {k: v for k, v in schema.items() if k != key}
                schema = merged(rest, self._draw.choose(options))
            else:
                return schema
        raise DeadEndError("references that never end")

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise DeadEndError(f"the reference {reference} leaves the schema")
        target = self._root
        if len(reference) > 1 and not reference.startswith("#/"):
            return self._anchored(reference[1:])
        for part in unquote(reference[1:]).split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(part)] if isinstance(target, list) else target[part]
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise DeadEndError(f"the reference {reference} names nothing") from error
        return target

    def _anchored(self, name: str) -> Any:
        """The part of the schema that carries an anchor of this name."""
        left = [self._root]
        while left:
            part = left.pop()
            if isinstance(part, dict):
                if name in (part.get("$anchor"), part.get("$dynamicAnchor")):
                    return part
                left.extend(part.values())
            elif isinstance(part, list):
                left.extend(part)
        raise DeadEndError(f"no part of the schema is named {name}")

    def _type(self, schema: dict[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            if depth >= _DEPTH_SHORT and "null" in kind:
                return "null"
            return str(self._draw.choose(kind))
        if isinstance(kind, str):
            return kind
        for name, keys in _TYPE_SIGNS.items():
            if not keys.isdisjoint(schema):
                return name
        return "string"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        for name, part in schema.get("dependentSchemas", {}).items():
            if name in schema.get("required", ()):
                schema = self._resolved(merged(schema, part), depth)
        properties: dict[str, Any] = schema.get("properties", {})
        required = list(dict.fromkeys(schema.get("required", ())))
        names = list(required)
        room = schema.get("maxProperties", math.inf) - len(names)
        if depth < _DEPTH_SHORT:
            optional = [n for n, s in properties.items() if n not in required and s is not False]
            for name in optional:
                if room > 0 and self._draw.below(4) > 0:
                    names.append(name)
                    room -= 1
        for name in properties:
            if len(names) < schema.get("minProperties", 0) and name not in names and properties[name] is not False:
                names.append(name)
        extra = schema.get("additionalProperties", True)
        patterns: dict[str, Any] = schema.get("patternProperties", {})
        made = {name: self._member(schema, name, depth) for name in names}
        for _ in range(4 * int(schema.get("minProperties", 0))):
            if len(made) >= schema.get("minProperties", 0):
                break
            if extra is False and patterns:
                name = self._name_by(list(patterns)[len(made) % len(patterns)], made)
            elif isinstance(schema.get("propertyNames"), dict):
                name = str(self.value({"type": "string", **schema["propertyNames"]}, depth + 1))
            else:
                name = f"{self._draw.text(4)}_{len(made)}"
            if name not in made:
                made[name] = self._member(schema, name, depth)
        return made

    def _name_by(self, pattern: str, taken: dict[str, Any]) -> str:
        """A name that a pattern finds, longer than the pattern asks for where it is taken."""
        name = _pattern_text(pattern, self._draw)
        if name in taken and not pattern.endswith("$"):
            return f"{name}{self._draw.text(3)}"
        if name in taken and not pattern.startswith("^"):
            return f"{self._draw.text(3)}{name}"
        return name

    def _member(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        """The value of one property, under all schemas that hold for its name."""
        import re

        properties: dict[str, Any] = schema.get("properties", {})
        holding = [properties[name]] if name in properties else []
        for pattern, part in schema.get("patternProperties", {}).items():
            try:
                if re.search(pattern, name):
                    holding.append(part)
            except re.error as error:
                raise DeadEndError(f"the pattern {pattern!r} is not understood") from error
        if not holding:
            holding = [schema.get("additionalProperties", True)]
        if holding == [True]:
            return self._draw.text(8)
        both = holding[0]
        for part in holding[1:]:
            both = merged(both, part)
        return self.value(both, depth + 1)

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        prefix = schema.get("prefixItems", ())
        items = schema.get("items", True)
        if isinstance(items, list):
            prefix, items = items, schema.get("additionalItems", True)
        least = int(schema.get("minItems", 0))
        if "contains" in schema:
            least = max(least, int(schema.get("minContains", 1)))
        most = int(schema.get("maxItems", max(least, len(prefix), 3)))
        short = depth >= _DEPTH_SHORT
        if items is False:
            most = min(most, len(prefix))
        most = max(least, most)
        count = (
            least if short else min(most, max(least, len(prefix) or self._draw.between(max(least, 1), max(least, 3))))
        )
        made: list[Any] = []
        for index in range(count):
            part = prefix[index] if index < len(prefix) else items
            if "contains" in schema and index >= len(prefix) and index < len(prefix) + schema.get("minContains", 1):
                part = merged(part, schema["contains"])
            made.append(self._other(part, made, depth) if schema.get("uniqueItems") else self.value(part, depth + 1))
        return made

    def _other(self, schema: Any, taken: list[Any], depth: int) -> Any:
        """A value that is not among those taken."""
        for _ in range(64):
            value = self.value(schema, depth + 1)
            if value not in taken:
                return value
        raise DeadEndError("too few different values")

    def _string(self, schema: dict[str, Any]) -> str:
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1 << 20))
        if "pattern" in schema:
            return _pattern_text(schema["pattern"], self._draw, least=least, most=most)
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if least > most:
            raise DeadEndError("no length is allowed")
        return self._draw.text(self._draw.between(max(least, min(4, most)), min(most, max(least, 24))))

    def _bounds(self, schema: dict[str, Any]) -> tuple[float | int | None, float | int | None, bool, bool]:
        """Lowest and highest number, and whether each is itself excluded (both spellings of drafts 4 and 6+)."""
        low, high = schema.get("minimum"), schema.get("maximum")
        low_open = high_open = False
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if above is True:
            low_open = True
        elif isinstance(above, (int, float)) and not isinstance(above, bool) and (low is None or above >= low):
            low, low_open = above, True
        if below is True:
            high_open = True
        elif isinstance(below, (int, float)) and not isinstance(below, bool) and (high is None or below <= high):
            high, high_open = below, True
        return low, high, low_open, high_open

    def _integer(self, schema: dict[str, Any]) -> int:
        low, high, low_open, high_open = self._bounds(schema)
        first = None if low is None else (math.floor(low) + 1 if low_open else math.ceil(low))
        last = None if high is None else (math.ceil(high) - 1 if high_open else math.floor(high))
        if first is None:
            first = 0 if last is None or last >= 0 else last - 100
        if last is None:
            last = first + 100
        step = schema.get("multipleOf", 1)
        if isinstance(step, float) and not step.is_integer():
            step = next((s for n in range(1, 1001) if (s := step * n).is_integer()), 1)
        step = max(1, int(step))
        lowest = -(-first // step)
        highest = max(last, first + step if high is None else last) // step
        if lowest > highest:
            raise DeadEndError("no integer is allowed")
        return self._draw.between(lowest, highest) * step

    def _number(self, schema: dict[str, Any]) -> int | float:
        if "multipleOf" in schema:
            low, high, low_open, high_open = self._bounds(schema)
            step = schema["multipleOf"]
            first = 0 if low is None else math.floor(low / step) + 1 if low_open else math.ceil(low / step)
            last = (
                first + 20 if high is None else math.ceil(high / step) - 1 if high_open else math.floor(high / step)
            )
            if low is None and last < first:
                first = last - 20
            if first > last:
                raise DeadEndError("no number is allowed")
            count = self._draw.between(first, last)
            return count * step if isinstance(step, int) else round(count * step, 12)
        try:
            return self._integer(schema)
        except DeadEndError:
            low, high, low_open, high_open = self._bounds(schema)
            if low is None or high is None or low > high or (low == high and (low_open or high_open)):
                raise
            return float(low) if low == high else low + (high - low) * 0.5


_TYPE_SIGNS: dict[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties", "patternProperties", "minProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
}


def _pattern_text(pattern: str, draw: Draw, *, least: int = 0, most: int = 1 << 20) -> str:
    for padding in (0, 0, least, least // 2, 1):
        try:
            text = matching(pattern, draw, padding=padding)
        except (ValueError, OverflowError) as error:
            raise DeadEndError(str(error)) from error
        if len(text) < least and not pattern.endswith("$"):
            text += draw.text(least - len(text))
        if least <= len(text) <= most:
            return text
    raise DeadEndError("no string of a fitting length was found for the pattern")


def _weight(schema: Any) -> int:
    """How much a schema demands, roughly: alternatives without children first."""
    if not isinstance(schema, dict):
        return 0
    if "$ref" in schema or "anyOf" in schema or "oneOf" in schema:
        return 4
    if schema.get("type") == "object" or "properties" in schema:
        return 1 + len(schema.get("required", ()))
    return 1 if schema.get("type") == "array" else 0
