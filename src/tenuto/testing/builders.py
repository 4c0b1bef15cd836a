"""Short ways to say plans, agents and tools in tests."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from tenuto.core.agents import AgentSpec
from tenuto.core.budget import Limits
from tenuto.core.canonical import canonical
from tenuto.core.ids import Digest
from tenuto.core.models import ModelProfile
from tenuto.core.plan import Plan, PromptWork, RunWork, Step, UsesWork
from tenuto.core.tools import Effect, ToolSpec
from tenuto.errors import UsageError
from tenuto.ports.programs import Program, ProgramSource

__all__ = ["Functions", "agent", "command", "plain_profile", "plan", "program", "prompt", "raw", "tool_spec"]


def raw(value: Any) -> msgspec.Raw:
    """A JSON value as a plan holds it: canonical bytes. Strings in it may be templates."""
    return msgspec.Raw(canonical(value))


def plan(*steps: Step, tokens: int | None = None, name: str = "test", **fields: Any) -> Plan:
    """A plan of these steps. `tokens` is its budget in tokens; `budget=Limits(...)` says any other."""
    if tokens is not None:
        fields["budget"] = Limits(tokens=tokens)
    return Plan(name=name, steps=steps, **fields)


def prompt(name: str, text: str = "Do it.", *, agent: str | None = None, **fields: Any) -> Step:
    """A step that is an agent's work. `foreach`, `output` and `values` take JSON values."""
    return Step(name=name, work=PromptWork(agent=agent, text=text), **_fields(fields))


def command(name: str, line: str = "true", **fields: Any) -> Step:
    """A `run` step."""
    return Step(name=name, work=RunWork(command=line), **_fields(fields))


def program(name: str, function: str = "", **fields: Any) -> Step:
    """A `uses` step: the function of that name (default: the step's) in `Functions`."""
    return Step(name=name, work=UsesWork(target=f"python:steps:{function or name}"), **_fields(fields))


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    for name in ("foreach", "output"):
        if fields.get(name) is not None:
            fields[name] = raw(fields[name])
    if "needs" in fields:
        fields["needs"] = tuple(fields["needs"])
    if "values" in fields:
        fields["values"] = {key: raw(value) for key, value in fields["values"].items()}
    return fields


def agent(name: str, *tools: str, **fields: Any) -> AgentSpec:
    """An agent with these tools."""
    return AgentSpec(name=name, tools=tools, **fields)


def tool_spec(name: str, effect: Effect = "read", **fields: Any) -> ToolSpec:
    """A tool that takes any object, as data."""
    return ToolSpec(
        description=name,
        effect=effect,
        name=name,
        parameters=raw({"type": "object"}),
        tool_id=f"test:{name}",
        version="1",
        **fields,
    )


def plain_profile(name: str = "mock:", *, max_tokens: int = 100) -> ModelProfile:
    """A profile that adds nothing to the bound of a request: its hold is its bytes and `max_tokens`."""
    return ModelProfile(default_max_tokens=max_tokens, grade="exact", input_overhead_tokens=0, name=name)


StepFunction = Callable[[Any, Any], Coroutine[Any, Any, Any]]


class Functions(ProgramSource):
    """Python step programs by name, for plans whose steps use `python:steps:NAME`.

    The mapping may be changed between an engine and the next: that is a user who edits the code.
    """

    def __init__(self, functions: Mapping[str, StepFunction] | None = None) -> None:
        self.functions = dict(functions or {})

    def load(self, target: str) -> Program:
        name = target.rpartition(":")[2]
        function = self.functions.get(name)
        if function is None:
            raise UsageError(f"there is no step function {name!r}", where=target)
        code = Digest(hashlib.sha256(inspect.getsource(function).encode()).hexdigest())
        return Program(function, f"{function.__code__.co_filename.rpartition('/')[2]}", code)
