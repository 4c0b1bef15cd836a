"""One part of a plan or of its agents, set from a flag and read by the tables of plan files.

Only the part's own step or agent is written as a plan file says it, changed there and read again. All other parts
stay the values that they are, so a change of one prompt is a change of one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tenuto.adapters.plans.agent_keys import INLINE_AGENT
from tenuto.adapters.plans.plan_keys import DEFAULTS, MERGE, STEP
from tenuto.adapters.plans.plan_values import agent_value, defaults_value, step_value
from tenuto.adapters.plans.reading import Field, Kind, Reading, Shape, Unreadable
from tenuto.adapters.plans.yaml_document import Document, read_yaml
from tenuto.core.agents import AgentSpec
from tenuto.core.canonical import canonical, clean
from tenuto.core.plan import Plan, PlanWork, PromptWork, Step
from tenuto.core.problems import did_you_mean, shorten
from tenuto.errors import InvalidPlanError, UsageError

__all__ = ["SECTIONS", "PlanAndAgents", "set_part", "split_setting"]

SECTIONS = ("inputs", "steps", "agents", "defaults", "outputs", "merge")
"""What a path of a part begins with."""
_MAPPINGS = ("with",)
"""Keys of a step below which the plan has names of its own."""


@dataclass(frozen=True, slots=True)
class PlanAndAgents:
    """A plan with its agents. Files that a value names (`prompts/a.md`) are read in `directory`."""

    plan: Plan
    agents: Mapping[str, AgentSpec]
    directory: Path


def split_setting(given: str) -> tuple[str, str]:
    """`PATH=VALUE` as its two parts. UsageError for anything else."""
    path, equals, value = given.partition("=")
    if not equals or not path:
        raise UsageError(
            "a part is set as PATH=VALUE",
            where=f"--set {shorten(given)}",
            fix='for example steps.fix.prompt="Fix it."',
        )
    if "\x00" in value:
        raise UsageError("the character NUL is not allowed", where=f"--set {shorten(path)}", fix="remove it")
    return path, clean(value)


def set_part(whole: PlanAndAgents, path: str, text: str) -> PlanAndAgents:
    """The plan and agents with one part set: `steps.fix.prompt`, `steps.do/inner.budget.tokens`, `agents.a.model`.

    `text` is taken as the part's kind says: as it is where a text belongs there, else as YAML. UsageError names the
    path, what is wrong with it, and the nearest name there is. Whether the plan still holds together is not checked.
    """
    section, _, rest = path.partition(".")
    if section == "steps":
        return replace_plan(whole, _set_in_step(whole, path, rest, text))
    if section == "agents":
        return _set_in_agent(whole, path, rest, text)
    plan = whole.plan
    if section == "defaults":
        value = _changed(DEFAULTS, defaults_value(plan.defaults), path, rest, text)
        return replace_plan(whole, replace(plan, defaults=_read(whole, DEFAULTS, value, path, ("defaults",))))
    if section == "outputs":
        _known(path, rest, plan.outputs, "the plan has no output")
        given = msgspec.Raw(canonical(_parsed(text, path)))
        return replace_plan(whole, replace(plan, outputs={**plan.outputs, rest: given}))
    if section == "merge" and not rest:
        merge = _read(whole, MERGE, _parsed(text, path), path, ("merge",))
        return replace_plan(whole, replace(plan, merge=merge))
    if section == "budget":
        what = "a fork has what its root has left"
        raise UsageError(what, where=_where(path), fix="give it more: --add-budget NAME=AMOUNT")
    raise UsageError(f"nothing is set by {shorten(path)}", where=_where(path), fix=did_you_mean(section, SECTIONS))


def replace_plan(whole: PlanAndAgents, plan: Plan) -> PlanAndAgents:
    """The same agents with another plan."""
    return PlanAndAgents(plan, whole.agents, whole.directory)


def _set_in_step(whole: PlanAndAgents, path: str, rest: str, text: str) -> Plan:
    names, _, keys = rest.partition(".")
    return _in_plan(whole, whole.plan, path, names.split("/"), keys, text)


def _in_plan(whole: PlanAndAgents, plan: Plan, path: str, names: Sequence[str], keys: str, text: str) -> Plan:
    """The plan with a key of one of its steps set; more names lead into sub-plans."""
    steps = {step.name: step for step in plan.steps}
    _known(path, names[0], steps, "there is no step")
    step = steps[names[0]]
    if len(names) == 1:
        changed = _in_step(whole, step, path, keys, text)
    elif isinstance(step.work, PlanWork) and step.work.plan is not None:
        inner = _in_plan(whole, step.work.plan, path, names[1:], keys, text)
        changed = replace(step, work=replace(step.work, plan=inner))
    else:
        raise UsageError(f"the step {step.name} has no sub-plan", where=_where(path), fix="name a step of the plan")
    return replace(plan, steps=tuple(changed if other is step else other for other in plan.steps))


def _in_step(whole: PlanAndAgents, step: Step, path: str, keys: str, text: str) -> Step:
    # A sub-plan stays the value that it is: an expression stands in its place while the step is read.
    inner = isinstance(step.work, PlanWork) and step.work.plan is not None
    plain = replace(step, work=PlanWork(text="${{ inputs.plan }}")) if inner else _without_file(step)
    value = step_value(plain)
    at = ("steps", step.name)
    if _read(whole, STEP, value, path, at) != plain:
        what = f"the step {step.name} holds what a plan file cannot say"
        raise InvalidPlanError(what, where=_where(path), fix="change it where the plan is built")
    found: Step = _read(whole, STEP, _changed(STEP, value, path, keys, text), path, at)
    work = found.work
    if isinstance(work, PlanWork) and work.source and work.plan is None:
        raise UsageError("another file is no value", where=_where(path), fix="name it in the plan, and --edit that")
    if inner and work == plain.work:
        work = step.work
    elif isinstance(work, PromptWork) and isinstance(step.work, PromptWork) and work.text == step.work.text:
        work = replace(work, source=step.work.source)
    return replace(found, work=work)


def _without_file(step: Step) -> Step:
    return replace(step, work=replace(step.work, source="")) if isinstance(step.work, PromptWork) else step


def _set_in_agent(whole: PlanAndAgents, path: str, rest: str, text: str) -> PlanAndAgents:
    name, _, keys = rest.partition(".")
    _known(path, name, whole.agents, "there is no agent")
    agent = whole.agents[name]
    value, at = agent_value(agent), ("agents", name)
    if _read(whole, INLINE_AGENT, value, path, at) != agent:
        what = f"the agent {name} holds what a plan file cannot say"
        raise InvalidPlanError(what, where=_where(path), fix="change it where the agent is built")
    found = _read(whole, INLINE_AGENT, _changed(INLINE_AGENT, value, path, keys, text), path, at)
    return PlanAndAgents(whole.plan, {**whole.agents, name: found}, whole.directory)


def _changed(shape: Shape, value: Mapping[str, Any], path: str, keys: str, text: str) -> dict[str, Any]:
    """An object with the key at `keys` (`budget.tokens`) set."""
    name, dot, rest = keys.partition(".")
    fields = {field.name: field for field in shape.fields}
    if name not in fields:
        what = f"{shape.what} has no key {shorten(name)}" if name else f"this is {shape.what}, and none of its keys"
        fix = did_you_mean(name, fields, f"its keys are {', '.join(fields)}")
        raise UsageError(what, where=_where(path), fix=fix)
    held = value.get(name)
    if not dot:
        return {**value, name: _taken(fields[name], text, path)}
    kind = fields[name].kind
    if isinstance(kind, Shape):
        return {**value, name: _changed(kind, held if isinstance(held, dict) else {}, path, rest, text)}
    if name in _MAPPINGS:
        given = held if isinstance(held, dict) else {}
        _known(path, rest, given, f"{name} has no value")
        return {**value, name: {**given, rest: _parsed(text, path)}}
    raise UsageError(f"{name} is one value: it has no {shorten(rest)}", where=_where(path), fix=f"set {name} itself")


def _taken(field: Field, text: str, path: str) -> Any:
    """A text where a text belongs; anything else as YAML has it."""
    schema = field.kind.schema
    kinds = {schema.get("type")} if isinstance(schema.get("type"), str) else set(schema.get("type", ()))
    kinds |= {one.get("type") for one in schema.get("oneOf", ()) if isinstance(one.get("type"), str)}
    if "enum" in schema or kinds == {"string"} or field.name in ("if", "instructions", "prompt"):
        return text
    return _parsed(text, path)


def _parsed(text: str, path: str) -> Any:
    """The value of a text that may be more than that: a number, true, null, a list, an object; in quotes, a text."""
    opened = text.lstrip()[:1] in ("[", "{", '"', "'")
    try:
        value = read_yaml(f"value: {text}".encode("utf-8", "surrogatepass"), _where(path)).value
    except InvalidPlanError as error:
        if not opened:
            return text
        raise UsageError(error.what, where=_where(path), fix="write it as JSON, in quotes for your shell") from None
    found = value["value"] if set(value) == {"value"} else text
    return text if isinstance(found, str) and not opened else found


def _read(whole: PlanAndAgents, kind: Kind | Shape, value: Any, path: str, at: tuple[str, ...]) -> Any:
    """A value read as a plan file's reader does. InvalidPlanError names the setting."""
    document = Document(_where(path), value, {}, {})
    reading = Reading(document, whole.directory)
    try:
        found = kind.read(reading, value, at)
        reading.finish()
    except Unreadable as error:
        what, fix, _ = error.problem
        raise InvalidPlanError(what, where=_where(path), fix=fix) from None
    except InvalidPlanError as error:
        raise InvalidPlanError(error.what.removeprefix(f"{path}: "), where=_where(path), fix=error.fix) from None
    if isinstance(found, AgentSpec):
        return replace(found, name=at[-1])
    return found


def _known(path: str, name: str, names: Mapping[str, Any], what: str) -> None:
    if name not in names:
        raise UsageError(f"{what} {shorten(name)}".rstrip(), where=_where(path), fix=did_you_mean(name, names))


def _where(path: str) -> str:
    return f"--set {shorten(path)}"
