"""Two JSON Schemas as one that says what both say, as far as keywords can be joined without solving."""

from __future__ import annotations

from typing import Any

__all__ = ["DeadEndError", "merged"]


class DeadEndError(ValueError):
    """This choice leads nowhere; another may."""


def merged(a: Any, b: Any) -> Any:
    """One schema that says what both say, as far as keywords can be joined without solving."""
    if a is True or a == {}:
        return b if isinstance(b, dict) or b is False else {}
    if b is True or b == {}:
        return a
    if a is False or b is False:
        raise DeadEndError("nothing is valid")
    out: dict[str, Any] = dict(a)
    for key, value in b.items():
        out[key] = _joined(key, out[key], value) if key in out else value
    return out


def _joined(key: str, a: Any, b: Any) -> Any:
    if key in ("properties", "patternProperties", "$defs", "definitions"):
        return {n: merged(a[n], b[n]) if n in a and n in b else a.get(n, b.get(n)) for n in [*a, *b]}
    if key == "required":
        return list(dict.fromkeys([*a, *b]))
    if key == "enum":
        common = [member for member in a if member in b]
        if not common:
            raise DeadEndError("two enums have nothing in common")
        return common
    if key == "type":
        return _joined_types(a, b)
    if key in ("items", "contains", "additionalProperties", "propertyNames") and not isinstance(a, list):
        return merged(a, b)
    if key.startswith("min") or key == "exclusiveMinimum":
        return max(a, b)
    if key.startswith("max") or key == "exclusiveMaximum":
        return min(a, b)
    if key in ("anyOf", "oneOf"):
        return [merged(x, {key: b}) for x in a]
    if key == "allOf":
        return [*a, *b]
    return a


def _joined_types(a: str | list[str], b: str | list[str]) -> list[str]:
    first = [a] if isinstance(a, str) else a
    second = [b] if isinstance(b, str) else b
    common = [t for t in first if t in second]
    common += ["integer"] if {"integer", "number"} <= {*first, *second} and "integer" not in common else []
    if not common:
        raise DeadEndError("two types have nothing in common")
    return common
