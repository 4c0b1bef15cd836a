"""What a Python function takes and gives, as JSON Schemas, from its type hints through msgspec."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tenuto.core.canonical import canonical
from tenuto.errors import UsageError
from tenuto.ports.tools import ToolContext, ToolOutput
from tenuto.ports.workspace import TreeEdit

__all__ = ["Signature", "schema_of", "signature_of"]

_INJECTED = (ToolContext, TreeEdit)
_NO_SCHEMA = (Any, None, type(None), ToolOutput)


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """`arguments` is a msgspec type with a field for each parameter of the schema; `injected` names the others."""

    arguments: type[msgspec.Struct]
    injected: dict[str, type]
    parameters: msgspec.Raw
    output_schema: msgspec.Raw | None


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read the signature of a function. UsageError names the parameter that has no JSON form."""
    where = f"{function.__module__}.{function.__qualname__}"
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise UsageError(
            f"its type hints cannot be read: {error}", where=where, fix="import what they name"
        ) from None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    injected: dict[str, type] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(
                f"the parameter {name!r} cannot be given by name", where=where, fix="give each parameter a name"
            )
        hint = hints.get(name, Any)
        if hint in _INJECTED:
            injected[name] = hint
        elif parameter.default is parameter.empty:
            fields.append((name, hint))
        else:
            fields.append((name, hint, _default(parameter.default)))
    try:
        arguments = msgspec.defstruct(
            f"{function.__name__}_arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        parameters = schema_of(arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"its parameters have no JSON form: {error}", where=where, fix="use types that msgspec knows"
        ) from None
    return Signature(
        arguments=arguments,
        injected=injected,
        parameters=parameters,
        output_schema=_output_schema(hints.get("return", Any)),
    )


def _default(value: Any) -> Any:
    # A mutable default would be refused by msgspec; a copy for each call is what its author meant.
    return (
        msgspec.field(default_factory=lambda: type(value)(value)) if isinstance(value, (list, dict, set)) else value
    )


def schema_of(hint: Any) -> msgspec.Raw:
    """The JSON Schema of a type, its own definition inlined, without msgspec's generated titles.

    TypeError where msgspec has no schema of it.
    """
    (reference,), components = msgspec.json.schema_components([hint], ref_template="#/$defs/{name}")
    name = str(reference.get("$ref", "")).removeprefix("#/$defs/")
    shape = dict(components.pop(name)) if name in components else dict(reference)
    if name and (_refers(shape, name) or _refers(components, name)):
        components[name] = dict(shape)  # a type that holds itself keeps its definition
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        shape.pop("title", None)
    if components:
        shape["$defs"] = components
    return msgspec.Raw(canonical(shape))


def _refers(schema: Any, name: str) -> bool:
    if isinstance(schema, dict):
        return schema.get("$ref") == f"#/$defs/{name}" or any(_refers(part, name) for part in schema.values())
    return isinstance(schema, list) and any(_refers(part, name) for part in schema)


def _output_schema(hint: Any) -> msgspec.Raw | None:
    """The schema of what a function returns; None where its hint says nothing or has no JSON form."""
    if hint in _NO_SCHEMA:
        return None
    try:
        return schema_of(hint)
    except (TypeError, ValueError):
        return None
