"""What a replay against another plan compares beyond records: whole requests, and what a run starts with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from tenuto.core.canonical import parse
from tenuto.core.commands import CallModel, CallTool, Command
from tenuto.core.content import Content
from tenuto.core.events import Event
from tenuto.core.events.call import ToolCallRequested
from tenuto.core.events.run import RunEnded, RunForked, RunStarted
from tenuto.core.events.step import StepCompleted, StepFailed, StepSkipped, StepStarted
from tenuto.core.models import ModelProfile
from tenuto.core.spec import RunSpec

__all__ = ["as_data", "carried", "essence", "same_request", "started_today"]

_FOLLOWING: dict[type[Any], frozenset[str]] = {
    RunEnded: frozenset(("result",)),
    StepCompleted: frozenset(("leaf",)),
    StepFailed: frozenset(("leaf",)),
    StepSkipped: frozenset(("leaf",)),
    StepStarted: frozenset(("agent", "key")),
    ToolCallRequested: frozenset(("key",)),
}
"""Digests that merely follow from a changed plan: not compared."""

_PINNED = ("temperature", "top_p", "seed")
"""What every model call asks for, and a profile may refuse."""


def as_data(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    return dict(msgspec.json.decode(msgspec.json.encode(event, order="sorted")))


def essence(event: Event) -> dict[str, Any]:
    """Everything of an event but what only follows from a changed plan."""
    following = _FOLLOWING.get(type(event), frozenset())
    return {name: value for name, value in as_data(event).items() if name not in following}


def same_request(old: Command, new: Command, recorded: RunSpec, current: RunSpec) -> bool:
    """Whether two commands whose records agree ask for the same in everything that no record holds."""
    if isinstance(old, CallModel) and isinstance(new, CallModel):
        return old.timeout_us == new.timeout_us and _sent(old, recorded) == _sent(new, current)
    if isinstance(old, CallTool) and isinstance(new, CallTool):
        same = replace(old, event=new.event, timeout_us=new.timeout_us) == new
        bounds = _limit_ms(old, recorded) == _limit_ms(new, current)
        return same and bounds and _result(old, recorded) == _result(new, current)
    return True


def carried(command: Command, spec: RunSpec) -> dict[str, Any]:
    """What a call asks for beyond its record, as JSON values: to be shown, and compared name by name."""
    shown: dict[str, Any] = {}
    if isinstance(command, (CallModel, CallTool)):
        shown["timeout_ms"] = _limit_ms(command, spec)
    if isinstance(command, CallModel):
        shown["messages"] = [msgspec.to_builtins(message) for message in command.messages]
        shown["output_schema"] = _schema(command.output_schema)
        shown["sent"] = _sent(command, spec)
        shown["tools"] = [_tool(schema) for schema in command.tools]
    elif isinstance(command, CallTool):
        shown["grants"] = msgspec.to_builtins(command.grants)
        shown["keep"] = list(command.keep)
        shown["repeatable"] = msgspec.to_builtins(command.repetition)
        shown["offered"] = None if command.offered is None else list(command.offered)
        shown["output_schema"] = _schema(command.output_schema or _result(command, spec))
    return shown


def _tool(schema: Any) -> dict[str, Any]:
    return {"name": schema.name, "description": schema.description, "parameters": _schema(schema.parameters)}


def _schema(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else parse(bytes(raw))


def _sent(command: CallModel, spec: RunSpec) -> list[str]:
    """The pinned parameters that the model's profile lets through."""
    name = command.event.config.model
    accepts = (spec.lock.profiles.get(name) or ModelProfile(name=name)).accepts
    return [parameter for parameter in _PINNED if parameter in accepts]


def _limit_ms(command: CallModel | CallTool, spec: RunSpec) -> int | None:
    """The deadline of a call; a tool's own holds beside that of its step."""
    known = [] if command.timeout_us is None else [command.timeout_us // 1_000]
    tool = spec.registry.tools.get(command.event.tool) if isinstance(command, CallTool) else None
    if tool is not None:
        known.append(tool.timeout_ms)
    return min(known, default=None)


def _result(command: CallTool, spec: RunSpec) -> msgspec.Raw | None:
    """What the tool's result is held against."""
    tool = spec.registry.tools.get(command.event.tool)
    return None if tool is None else tool.output_schema


def started_today(event: RunStarted, recorded: RunSpec, current: RunSpec) -> RunStarted:
    """The same start under another plan: its budget, and its defaults of the inputs that had the recorded ones.

    A value that was given and is the default says nothing of which it was: it counts as the default.
    """
    given: Mapping[str, Any] = event.inputs.value
    values = dict(given)
    for name, spec in current.plan.inputs.items():
        before = recorded.plan.inputs.get(name)
        was = None if before is None else before.default
        left = name not in given or (was is not None and parse(was) == given[name])
        if left and spec.default is not None:
            values[name] = parse(spec.default)
    inputs = event.inputs if values == given else Content.of(values)
    budget = event.budget if isinstance(event, RunForked) else current.plan.budget
    return replace(event, budget=budget, inputs=inputs)
