"""The keys of a plan file: one table for the reader and for the JSON Schema that editors use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tenuto.adapters.plans.agent_keys import INLINE_AGENT
from tenuto.adapters.plans.kinds import (
    COUNT,
    DURATION,
    FLAG,
    JSON,
    MODEL,
    NAME,
    RELATIVE,
    TEXT,
    choice,
    list_of,
    mapping_of,
)
from tenuto.adapters.plans.limit_keys import RUN_LIMITS, STEP_LIMITS
from tenuto.adapters.plans.policy_keys import POLICIES, REPEATABLE, renamed
from tenuto.adapters.plans.reading import Field, Kind, Reading, Shape, Unreadable, described
from tenuto.adapters.plans.referenced_files import OUTPUT_SCHEMA, PROMPT, sub_plan_file
from tenuto.adapters.plans.yaml_document import KeyPath
from tenuto.core.agents import AgentSpec
from tenuto.core.merging import MergePolicy
from tenuto.core.plan import (
    ApprovalWork,
    Defaults,
    InputSpec,
    Plan,
    PlanWork,
    PromptWork,
    Repeat,
    RunWork,
    Step,
    UsesWork,
    WaitWork,
    Work,
)
from tenuto.core.plan_inputs import fits
from tenuto.core.tools import Grants

__all__ = ["PLAN", "STEP", "PlanParts"]

_WORKS = ("prompt", "run", "uses", "plan", "approval", "wait")


def _defaults(values: dict[str, Any], _path: KeyPath) -> Defaults:
    return Defaults(**renamed(values, timeout="timeout_ms"))


_NEAREST = (
    Field("model", MODEL, "The model, as provider:name"),
    Field("max_tokens", COUNT, "Tokens of the longest reply"),
    *POLICIES,
)

_REPEATABLE = Field("repeatable", REPEATABLE, "Whether commands get a fixed clock and fixed random numbers")

DEFAULTS = Shape("defaults", (*_NEAREST, _REPEATABLE), _defaults)

GRANTS = Shape(
    "grants",
    (
        Field("read", list_of(TEXT, "paths"), "Paths outside the tree that may be read"),
        Field("write", list_of(TEXT, "paths"), "Paths outside the tree that may be written"),
        Field("network", FLAG, "Whether the network may be used"),
        Field("env", list_of(TEXT, "names"), "Environment variables that are passed on"),
        Field("secrets", list_of(TEXT, "names"), "Secrets of the configuration, given to commands and Python tools"),
    ),
    lambda values, _path: Grants(**values),
    later=("hosts",),
)

_INPUT_TYPES = ("string", "integer", "number", "boolean", "array", "object")

INPUT = Shape(
    "an input",
    (
        Field("type", choice(*_INPUT_TYPES), "Type of the value"),
        Field("default", JSON, "Taken where the input is not given; without it the input is required"),
        Field("description", TEXT, "What the input is for"),
    ),
    lambda values, _path: InputSpec(**values),
    check=lambda value: _default_problems(value),
)


def _default_problems(value: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    kind = value.get("type", "string")
    if kind not in _INPUT_TYPES or "default" not in value or fits(kind, value["default"]):
        return []
    return [("default", f"the default is no {kind}, but {described(value['default'])}", "change type or default")]


def _merge(reading: Reading, value: Any, path: KeyPath) -> MergePolicy:
    if value == "fail":
        return MergePolicy()
    if value == "agent":
        raise Unreadable("merge: agent names no agent", "write {agent: NAME}")
    if isinstance(value, dict) and set(value) == {"agent"}:
        agent = reading.take(NAME, value["agent"], (*path, "agent"))
        return MergePolicy(kind="agent", agent=agent if isinstance(agent, str) else None)
    if isinstance(value, dict) and set(value) == {"prefer"}:
        prefer = reading.take(NAME, value["prefer"], (*path, "prefer"))
        return MergePolicy(kind="prefer", prefer=prefer if isinstance(prefer, str) else None)
    raise Unreadable(
        f"merge is fail, {{prefer: STEP}} or {{agent: NAME}}, not {described(value)}", "write one of these"
    )


MERGE = Kind(
    _merge,
    {
        "oneOf": [
            {"const": "fail"},
            *(
                {
                    "type": "object",
                    "properties": {who: NAME.schema},
                    "required": [who],
                    "additionalProperties": False,
                }
                for who in ("prefer", "agent")
            ),
        ]
    },
)


def _needs(reading: Reading, value: Any, path: KeyPath) -> tuple[str, ...]:
    needs: tuple[str, ...] = _NAMES.read(reading, [value] if isinstance(value, str) else value, path)
    return needs


_NAMES = list_of(NAME, "step names")
NEEDS = Kind(_needs, {"oneOf": [_NAMES.schema, NAME.schema]})


def _key(reading: Reading, value: Any, path: KeyPath) -> str:
    text: str = TEXT.read(reading, value, path)
    if not text:
        raise Unreadable("the key is empty", "write an expression over item, such as ${{ item.name }}")
    return text


APPROVAL = Shape(
    "approval",
    (
        Field("ask", TEXT, "What a person should decide: text with ${{ }}", required=True),
        Field("expires", DURATION, "For how long an answer counts; after that the step has failed"),
    ),
    lambda values, _path: ApprovalWork(**renamed(values, expires="expires_ms")),
)

REPEAT = Shape(
    "repeat",
    (
        Field("max", COUNT, "Iterations at most", required=True),
        Field("until", TEXT, "A condition; looked at after each iteration, whose outcome is last"),
    ),
    lambda values, _path: Repeat(**values),
)


def _condition(reading: Reading, value: Any, path: KeyPath) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text: str = TEXT.read(reading, value, path)
    return text


CONDITION = Kind(_condition, {"type": ["string", "boolean"]})


def _globs(reading: Reading, value: Any, path: KeyPath) -> tuple[str, ...]:
    globs: tuple[str, ...] = _PATHS.read(reading, [value] if isinstance(value, str) else value, path)
    return globs


_PATHS = list_of(RELATIVE, "globs")
GLOBS = Kind(_globs, {"oneOf": [_PATHS.schema, RELATIVE.schema]})


def _sub_plan(reading: Reading, value: Any, path: KeyPath) -> PlanWork:
    """A sub-plan that is written in the step, one of a file, or one to come."""
    if not isinstance(value, dict):
        return sub_plan_file(reading, value, path)
    parts = reading.take(PLAN, value, path)
    if "agents" in value:
        what = "a plan within a plan uses the agents of the whole file"
        reading.note((*path, "agents"), what, "write them into the agents: of the file", key=True)
    if not isinstance(parts, PlanParts):
        return PlanWork()  # its problems are noted: nothing is built of it
    plan = parts.plan if "name" in value else msgspec.structs.replace(parts.plan, name=str(path[-2]))
    return PlanWork(plan=plan)


SUB_PLAN = Kind(_sub_plan, {"anyOf": [{"type": "string"}, {"$ref": "#"}]})


def _step_problems(value: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    works = [work for work in _WORKS if work in value]
    one_of = f"a step has exactly one of {', '.join(_WORKS[:-1])} and {_WORKS[-1]}"
    if not works:
        return [("", f"{one_of}; this has none", "add run: or prompt:")]
    if len(works) > 1:
        return [(works[1], f"{one_of}; this has {' and '.join(works)}", "split it")]
    if "agent" in value and works[0] != "prompt":
        return [("agent", f"only a prompt step has an agent, and this is a {works[0]} step", "remove agent")]
    return [
        (key, f"{key} has no meaning in a {works[0]} step", f"remove {key}")
        for key in ("model", "max_tokens")
        if key in value and works[0] != "prompt"
    ]


def _step(values: dict[str, Any], path: KeyPath) -> Step:
    fields = renamed(values, **{"timeout": "timeout_ms", "with": "values", "if": "condition"})
    return Step(name=str(path[-1]), work=_work(fields), **fields)


def _work(values: dict[str, Any]) -> Work:
    """What the step does, taken out of its values."""
    agent = values.pop("agent", None)
    if "prompt" in values:
        prompt = values.pop("prompt")
        return PromptWork(agent=agent, source=prompt.source, text=str(prompt))
    if "run" in values:
        return RunWork(command=values.pop("run"))
    if "uses" in values:
        return UsesWork(target=values.pop("uses"))
    if "wait" in values:
        return WaitWork(duration=values.pop("wait"))
    work: PlanWork | ApprovalWork = values.pop("plan" if "plan" in values else "approval")
    return work


STEP = Shape(
    "a step",
    (
        Field("prompt", PROMPT, "An agent's task: text with ${{ }}, or the path of a .md or .txt file"),
        Field("run", TEXT, "A command for /bin/sh -c, in the sandbox and the step's tree"),
        Field("uses", TEXT, "A Python step program: python:MODULE:FUNCTION"),
        Field("plan", SUB_PLAN, "A sub-plan: its keys, the path of its file, or an expression for one"),
        Field("approval", APPROVAL, "A question to a person"),
        Field("wait", TEXT, "A pause such as 30s, or an expression that yields one"),
        Field("agent", NAME, "The agent that does the prompt"),
        Field("fallback", _NAMES, "Agents that take over, in order, where the step's agent has failed"),
        Field("needs", NEEDS, "Steps that must have ended before"),
        Field("if", CONDITION, "A condition; where it is false the step is skipped"),
        Field("with", mapping_of(JSON, "values"), "Named values for the work; the inputs of a sub-plan"),
        Field("foreach", JSON, "A list, or an expression that yields one: the step runs for each item"),
        Field("key", Kind(_key, TEXT.schema), "Name of each item's child step, such as ${{ item.name }}"),
        Field("max_parallel", COUNT, "Children of foreach under way at once"),
        Field("repeat", REPEAT, "Runs the step again and again, until a condition holds"),
        Field("output", OUTPUT_SCHEMA, "JSON Schema of the output, or the path of a .json or .yaml file"),
        *_NEAREST,
        Field("budget", STEP_LIMITS, "Part of the plan's budget set aside for the step"),
        Field("merge", MERGE, "How conflicts between the trees of needed steps are settled"),
        Field("reads", GLOBS, "Files of the tree that the step sees; others do not count as its input"),
        Field("keep", GLOBS, "Ignored files that stay in the tree for later steps"),
        Field("tools", list_of(NAME, "tools"), "Tools that may be used here, of those that the agents have"),
        _REPEATABLE,
        Field("grants", GRANTS, "What the step may touch beyond its tree"),
        Field("effect", choice("read", "workspace", "idempotent", "once"), "What a run command does to the world"),
    ),
    _step,
    later=("memory", "requires", "role"),
    check=_step_problems,
    extra_schema={"oneOf": [{"required": [work]} for work in _WORKS]},
)


def _version(_reading: Reading, value: Any, _path: KeyPath) -> int:
    if value != 1 or isinstance(value, (bool, float)):
        raise Unreadable(f"this reads plans of format 1, not {described(value)}", "write tenuto: 1")
    return 1


def _agents(reading: Reading, value: Any, path: KeyPath) -> Any:
    """A tuple of globs, or a dict of agents written in the plan."""
    if isinstance(value, dict):
        return _INLINE.read(reading, value, path)
    return _GLOBS.read(reading, [value] if isinstance(value, str) else value, path)


_GLOBS = list_of(RELATIVE, "files of agents")
_INLINE = mapping_of(INLINE_AGENT, "agents")
AGENTS = Kind(_agents, {"oneOf": [_GLOBS.schema, RELATIVE.schema, _INLINE.schema]})


class PlanParts(NamedTuple):
    """A plan as its file has it, and the agents that are written in the same file."""

    plan: Plan
    agents: dict[str, AgentSpec]


def _plan(values: dict[str, Any], _path: KeyPath) -> PlanParts:
    values.pop("tenuto", None)
    agents = values.pop("agents", ())
    inline = agents if isinstance(agents, dict) else {}
    named = {name: msgspec.structs.replace(agent, name=name) for name, agent in inline.items()}
    values["agents"] = () if isinstance(agents, dict) else agents
    values["steps"] = tuple(values["steps"].values())
    values.setdefault("name", "")
    return PlanParts(Plan(**values), named)


def _step_name(name: str) -> str | None:
    return "the name end is taken by the end of the plan" if name == "end" else None


PLAN = Shape(
    "a plan",
    (
        Field("tenuto", Kind(_version, {"const": 1}), "Format of the file"),
        Field("name", TEXT, "Name of the plan; else the file's name"),
        Field("description", TEXT, "What the plan is for"),
        Field("inputs", mapping_of(INPUT, "inputs"), "What a run is given"),
        Field("budget", RUN_LIMITS, "At most what a run spends"),
        Field("agents", AGENTS, "Markdown files of agents, as globs relative to the plan; or agents by name"),
        Field("tools", list_of(TEXT, "modules"), "Python modules of tools: python:MODULE"),
        Field("defaults", DEFAULTS, "What holds where a step and its agent do not say otherwise"),
        Field("steps", mapping_of(STEP, "steps", check_name=_step_name), "The steps, in plan order", required=True),
        Field("outputs", mapping_of(JSON, "values"), "What the run yields, as values with ${{ }}"),
        Field("merge", MERGE, "How conflicts between the trees of last steps are settled"),
    ),
    _plan,
    later=("mcp", "memory", "policy"),
)
