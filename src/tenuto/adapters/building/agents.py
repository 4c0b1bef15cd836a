"""Agents built in Python: from arguments, or from a function's docstring and type hints."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, Unpack, overload

from tenuto.adapters.building.values import Duration, Names, milliseconds, names, output_schema
from tenuto.adapters.tools.signatures import signature_of
from tenuto.core.agents import AgentSpec, Capability
from tenuto.core.budget import Limits
from tenuto.core.ids import valid_name
from tenuto.core.policies import OnError, Retry
from tenuto.errors import UsageError
from tenuto.ports.tools import Tool

__all__ = ["AgentOptions", "agent", "capability"]

Tools = Iterable[str | Tool]


class AgentOptions(TypedDict, total=False):
    """What an agent may have beside its name and its instructions; the words are those of plan files."""

    approve: Tools
    at_once: int | None
    capabilities: Iterable[Capability | str]
    description: str
    fallback: Names
    iterations: int
    limits: Limits
    max_tokens: int | None
    model: str | None
    on_error: OnError | None
    retry: Retry | None
    role: str
    timeout: Duration | None
    tools: Tools
    version: str


@overload
def agent(name: str, instructions: str, **options: Unpack[AgentOptions]) -> AgentSpec: ...
@overload
def agent(
    *, name: str | None = None, **options: Unpack[AgentOptions]
) -> Callable[[Callable[..., Any]], AgentSpec]: ...
def agent(
    name: str | None = None, instructions: str | None = None, **options: Unpack[AgentOptions]
) -> AgentSpec | Callable[[Callable[..., Any]], AgentSpec]:
    """An agent as data: `agent("poet", "You write poems.", model="mock:")`, or made of a function by `@agent()`.

    The function is never called: its docstring is the instructions, its name the agent's. Parameters and the type
    that it returns are the schemas of the agent's one capability; a prompt for this agent has that type as its
    output. UsageError where the function cannot be one.
    """
    if instructions is not None:
        return _spec(name or "", instructions, options)
    return lambda function: _of_function(function, name, options)


def capability(name: str, *, input: Any = None, output: Any = None) -> Capability:
    """An ability of an agent; what it takes and gives, as types or JSON Schemas."""
    takes, gives = output_schema(input, f"{name}.input"), output_schema(output, f"{name}.output")
    return Capability(name=name, input_schema=takes, output_schema=gives)


def _spec(name: str, instructions: str, options: AgentOptions) -> AgentSpec:
    fields: dict[str, Any] = dict(options)
    for key in ("approve", "tools"):
        if key in fields:
            fields[key] = tuple(tool if isinstance(tool, str) else tool.spec.name for tool in fields[key])
    if "capabilities" in fields:
        found = fields["capabilities"]
        fields["capabilities"] = tuple(Capability(name=one) if isinstance(one, str) else one for one in found)
    fields["fallbacks"] = names(fields.pop("fallback", ()))
    fields["timeout_ms"] = milliseconds(fields.pop("timeout", None))
    if "iterations" in fields:
        fields["iterations_max"] = fields.pop("iterations")
    return AgentSpec(name=name, instructions=instructions, **fields)


def _of_function(function: Callable[..., Any], name: str | None, options: AgentOptions) -> AgentSpec:
    where = f"{function.__module__}.{function.__qualname__}"
    called = function.__name__ if name is None else name
    instructions = inspect.getdoc(function)
    if not instructions:
        raise UsageError("an agent's docstring is its instructions", where=where, fix="write one")
    if not valid_name(called):
        raise UsageError(f"{called!r} is no name of an agent", where=where, fix="give name=")
    signature = signature_of(function)
    if signature.output_schema is None and _says(function):
        fix = "return a type that msgspec knows"
        raise UsageError("the type that it returns has no JSON Schema", where=where, fix=fix)
    takes = signature.parameters if inspect.signature(function).parameters else None
    capability = Capability(name=called, input_schema=takes, output_schema=signature.output_schema)
    made: AgentOptions = {"capabilities": (capability,), **options}
    return _spec(called, instructions, made)


def _says(function: Callable[..., Any]) -> bool:
    """Whether the hint of what it returns means anything for a model."""
    return function.__annotations__.get("return") not in (None, "None", Any, "Any")
