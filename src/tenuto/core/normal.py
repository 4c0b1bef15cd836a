"""Normal form of values: what equals its default is the default.

msgspec leaves a field out where it holds the default *object*; a value that is merely equal would be written. Two
equal plans must have equal bytes, so bodies are brought into this form before they are written or hashed.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import msgspec

__all__ = ["normal"]

_T = TypeVar("_T")


def normal(value: _T) -> _T:
    """The equal value whose fields hold their default objects wherever they can. Idempotent."""
    if isinstance(value, str):
        return value  # most values are: spare them the other questions
    made: Any = value
    if isinstance(value, msgspec.Struct):
        changes = {}
        for name, default in _defaults(type(value)):
            held = getattr(value, name)
            if held is default:
                continue
            kept = default if type(held) is type(default) and held == default else normal(held)
            if kept is not held:
                changes[name] = kept
        made = msgspec.structs.replace(value, **changes) if changes else value
    elif isinstance(value, tuple):
        items = [normal(item) for item in value]
        made = tuple(items) if any(a is not b for a, b in zip(items, value, strict=True)) else value
    elif isinstance(value, dict):
        found = {key: normal(item) for key, item in value.items()}
        made = found if any(found[key] is not value[key] for key in value) else value
    result: _T = made
    return result


@lru_cache(64)
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in msgspec.structs.fields(kind))
