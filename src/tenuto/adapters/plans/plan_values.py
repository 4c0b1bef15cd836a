"""A plan as the object that a plan file holds: the tables of `plan_keys`, the other way round.

What holds its default is left out. Nothing is checked here: whoever writes the object reads it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tenuto.adapters.plans.agent_keys import METADATA
from tenuto.adapters.plans.referenced_files import looks_like_a_file
from tenuto.adapters.plans.yaml_writing import Block
from tenuto.core.agents import AgentSpec, Capability
from tenuto.core.canonical import parse
from tenuto.core.durations import duration_text
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import ApprovalWork, Defaults, Plan, PlanWork, PromptWork, RunWork, Step, UsesWork, WaitWork
from tenuto.core.repetition import Repeatable

__all__ = [
    "AGENT_FIELDS",
    "PLAN_FIELDS",
    "STEP_FIELDS",
    "agent_value",
    "defaults_value",
    "dollars_text",
    "front_matter_value",
    "plan_value",
    "step_value",
]

_NAMES = {
    "backoff_ms": "backoff",
    "condition": "if",
    "expires_ms": "expires",
    "fallbacks": "fallback",
    "input_schema": "input",
    "iterations_max": "iterations",
    "output_schema": "output",
    "time_ms": "time",
    "timeout_ms": "timeout",
    "usd_micros": "usd",
    "values": "with",
}
"""What the core calls differently."""
PLAN_FIELDS = ("name", "description", "inputs", "budget", "agents", "tools", "defaults", "steps", "outputs", "merge")
_STEP_FIRST = ("needs", "condition", "foreach", "key", "max_parallel", "repeat")
_STEP_LAST = (
    *("fallback", "values", "output", "model", "max_tokens", "timeout_ms", "retry", "on_error", "budget", "merge"),
    *("reads", "keep", "tools", "repeatable", "grants", "effect"),
)
STEP_FIELDS = ("name", *_STEP_FIRST, "work", *_STEP_LAST)
_AGENT = (
    *("description", "instructions", "tools", "model", "role", "capabilities", "max_tokens", "at_once"),
    *("iterations_max", "limits", "fallbacks", "approve", "timeout_ms", "retry", "on_error", "version"),
)
AGENT_FIELDS = ("name", *_AGENT)
"""The fields of a plan, a step and an agent, in the order in which they are written."""


def plan_value(plan: Plan, agents: Mapping[str, AgentSpec]) -> Block:
    """The whole file. `agents` stand in it where it names no files of agents."""
    value = Block(tenuto=1) | _fields(plan, tuple(name for name in PLAN_FIELDS if name != "steps"))
    value["name"] = plan.name
    value["steps"] = Block({step.name: step_value(step) for step in plan.steps})
    if agents and not plan.agents:
        value["agents"] = Block({name: agent_value(agent) for name, agent in agents.items()})
    order = ("tenuto", *PLAN_FIELDS)
    return Block({key: value[key] for key in order if key in value})


def agent_value(agent: AgentSpec) -> Block:
    """An agent as it stands in a plan."""
    value = Block(_fields(agent, _AGENT))
    if agent.system:  # what its skills say is said in it: their files are not written
        value["instructions"] = _prompt(agent.system, "")
    return value


def defaults_value(defaults: Defaults) -> Block:
    """The defaults of a plan."""
    return _fields(defaults, defaults.__struct_fields__)


def front_matter_value(agent: AgentSpec) -> Block:
    """An agent as the front matter of a file of its own, without its instructions."""
    ours = {field.name for field in METADATA.fields} - {"model"}
    value = Block(name=agent.name)
    extras = Block()
    for key, item in _fields(agent, tuple(name for name in _AGENT if name != "instructions")).items():
        (extras if key in ours else value)[key] = item
    return Block(value, metadata=extras) if extras else value


def _fields(struct: msgspec.Struct, names: tuple[str, ...]) -> Block:
    """The named fields that do not hold their defaults, in the order of the names."""
    defaults = {
        field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(type(struct))
    }
    found = Block()
    for name in names:
        held = getattr(struct, name)
        if held != defaults[name]:
            found[_NAMES.get(name, name)] = _field(name, held)
    return found


def _field(name: str, held: Any) -> Any:
    match held:
        case msgspec.Raw():
            return _type_first(parse(held)) if name == "output" else parse(held)
        case MergePolicy(kind="fail"):
            return "fail"
        case MergePolicy(kind=kind):
            return {kind: held.agent if kind == "agent" else held.prefer}
        case Repeatable(on=False):
            return False
        case Repeatable() if held == Repeatable():
            return True
        case Capability(input_schema=None, output_schema=None, name=ability):
            return ability
        case msgspec.Struct():
            return _type_first(dict(_fields(held, held.__struct_fields__)))
        case tuple():
            return [_field("", item) for item in held]
        case dict():
            return {key: _field("", item) for key, item in held.items()}
        case int() if name == "usd_micros":
            return dollars_text(held)
        case int() if name.endswith("_ms"):
            return duration_text(held)
        case _:
            return held


def _type_first(value: dict[str, Any]) -> dict[str, Any]:
    """A schema or an input as people write it: what it is, then the rest."""
    return {"type": value["type"], **value} if "type" in value else value


def dollars_text(micros: int) -> str:
    """Millionths of a dollar as a plan file says them: `2.00`."""
    whole, rest = divmod(micros, 1_000_000)
    decimals = f"{rest:06d}".rstrip("0")
    return f"{whole}.{decimals.ljust(2, '0')}"


def step_value(step: Step) -> Block:
    """A step as it stands below its name."""
    return Block(_fields(step, _STEP_FIRST) | _work(step) | _fields(step, _STEP_LAST))


def _work(step: Step) -> dict[str, Any]:
    match step.work:
        case PromptWork(agent=agent, source=source, text=text):
            prompt = {"prompt": _prompt(text, source)}
            return prompt if agent is None else {"agent": agent, **prompt}
        case RunWork(command=command):
            return {"run": command}
        case UsesWork(target=target):
            return {"uses": target}
        case PlanWork(plan=Plan() as plan, source=""):
            return {"plan": _sub_plan(plan)}
        case PlanWork(source=source, text=text):
            return {"plan": source or text}
        case ApprovalWork():
            return {"approval": dict(_fields(step.work, ("ask", "expires_ms")))}
        case WaitWork(duration=duration):
            return {"wait": duration}


def _sub_plan(plan: Plan) -> Block:
    value = plan_value(plan, {})
    del value["tenuto"]
    return value


def _prompt(text: str, source: str) -> Any:
    return source or ({"text": text} if looks_like_a_file(text) else text)
