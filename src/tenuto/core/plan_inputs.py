"""The inputs of a run: what a plan declares against what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenuto.core.canonical import clean, parse
from tenuto.core.plan import InputSpec, Plan
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import UsageError

__all__ = ["check_inputs", "fits"]

_WORDS = {"true": True, "false": False}


def fits(kind: str, value: Any) -> bool:
    """Whether a JSON value is of a declared input type. `integer` is a `number`; booleans are neither."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, (list, tuple))
        case _:
            return isinstance(value, Mapping)


def check_inputs(plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all inputs, in declared order, defaults filled in.

    A string given for an input of another type (as flags give it) is read as JSON. Raises UsageError, one line, for
    the first input that is unknown, missing or of the wrong type.
    """
    for name in given:
        if name not in plan.inputs:
            fix = did_you_mean(name, plan.inputs) if plan.inputs else "the plan takes no inputs"
            raise UsageError("the plan has no such input", where=f"input {shorten(name)}", fix=fix)
    values: dict[str, Any] = {}
    for name, spec in plan.inputs.items():
        if name in given:
            values[name] = _converted(name, spec, given[name])
        elif spec.default is not None:
            values[name] = parse(spec.default)
        else:
            raise UsageError("the plan needs this input", where=f"input {name}", fix=f"give --input {name}=VALUE")
    return values


def _converted(name: str, spec: InputSpec, value: Any) -> Any:
    where = f"input {name}"
    if isinstance(value, str) and spec.type != "string":
        text = value.strip()
        try:
            value = _WORDS[text.lower()] if spec.type == "boolean" and text.lower() in _WORDS else parse(text)
        except ValueError:
            raise UsageError(f"{shorten(text)} is no {spec.type}", where=where, fix=_shape(spec.type)) from None
    try:
        value = clean(value)
    except ValueError as error:
        raise UsageError(str(error), where=where, fix="give a smaller value") from None
    if not fits(spec.type, value):
        raise UsageError(f"the value is no {spec.type}", where=where, fix=_shape(spec.type))
    return value


def _shape(kind: str) -> str:
    return {
        "string": "give a text",
        "integer": "give a whole number, such as 5",
        "number": "give a number, such as 0.5",
        "boolean": "give true or false",
        "array": 'give a JSON list, such as ["a", "b"]',
    }.get(kind, 'give a JSON object, such as {"a": 1}')
