"""The keys of an agent: in the front matter of a Markdown file, below its `metadata:`, and in a plan itself."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Raw

from tenuto.adapters.plans.kinds import COUNT, MODEL, NAME, TEXT, list_of
from tenuto.adapters.plans.limit_keys import STEP_LIMITS
from tenuto.adapters.plans.policy_keys import POLICIES, renamed
from tenuto.adapters.plans.reading import Field, Kind, Reading, Shape, Unreadable, described
from tenuto.adapters.plans.referenced_files import OUTPUT_SCHEMA, PROMPT
from tenuto.adapters.plans.yaml_document import KeyPath
from tenuto.core.agents import AgentSpec, Capability
from tenuto.core.problems import shorten

__all__ = ["BUILTIN_TOOLS", "FRONT_MATTER", "INLINE_AGENT", "METADATA", "OWN_KEYS"]

BUILTIN_TOOLS = (
    *("read_file", "search_files", "list_files", "glob", "edit_file", "write_file", "apply_patch", "delete_file"),
    *("move_file", "run"),
)
"""The tools that are always there."""

_OURS = {
    "Read": "read_file",
    "Grep": "search_files",
    "Glob": "glob",
    "LS": "list_files",
    "Edit": "edit_file",
    "MultiEdit": "edit_file",
    "Write": "write_file",
    "Bash": "run",
}
_WITHOUT_COUNTERPART = frozenset(
    {
        "Agent",
        "AskUserQuestion",
        "BashOutput",
        "KillShell",
        "NotebookEdit",
        "NotebookRead",
        "Skill",
        "SlashCommand",
        "Task",
        "TodoRead",
        "TodoWrite",
        "WebFetch",
        "WebSearch",
    }
)
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}\Z")


def _tools(reading: Reading, value: Any, path: KeyPath) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if value is None:
        value = []
    if not isinstance(value, list):
        raise Unreadable(f"tools are a list or names with commas, not {described(value)}", "write Read, Grep")
    names = [reading.take(_TOOL, item, (*path, index)) for index, item in enumerate(value)]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _tool(_reading: Reading, value: Any, _path: KeyPath) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"a tool's name is a text, not {described(value)}", "write a name such as read_file")
    if value in _WITHOUT_COUNTERPART:
        raise Unreadable(f"the tool {value} has no counterpart here", "remove it")
    if value.startswith("mcp__"):
        raise Unreadable(f"{shorten(value)}: tools of MCP servers are not in this version", "remove it")
    if "(" in value or "*" in value:
        fix = "write the tool's name alone, and say in grants what it may touch"
        raise Unreadable(f"{shorten(value)!r} is a pattern", fix)
    if not _TOOL_NAME.match(value):
        raise Unreadable(f"{shorten(value)!r} does not name a tool", "write a name such as read_file")
    return _OURS.get(value, value)


_TOOL = Kind(_tool, {"type": "string"})
TOOLS = Kind(_tools, {"oneOf": [{"type": "array", "items": {"type": "string"}}, {"type": ["string", "null"]}]})


def _skills(reading: Reading, value: Any, path: KeyPath) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
        names = [NAME.read(reading, item, path) for item in value]
    elif isinstance(value, list):
        names = [reading.take(NAME, item, (*path, index)) for index, item in enumerate(value)]
    else:
        raise Unreadable(f"skills are a list of names, not {described(value)}", "write skills: [name]")
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


SKILLS = Kind(_skills, {"oneOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]})


def _foreign_model(_reading: Reading, value: Any, _path: KeyPath) -> str | None:
    """`provider:model`; names that only other programs understand (`sonnet`, `inherit`) count as none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unreadable(f"a model's name is a text, not {described(value)}", "write provider:model")
    text: str | None = MODEL.read(_reading, value, _path) if ":" in value else None
    return text


def _version(_reading: Reading, value: Any, _path: KeyPath) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Unreadable(f"a version is a text, not {described(value)}", 'write it in quotes: "1.0"')
    return str(value)


def _capability(reading: Reading, value: Any, path: KeyPath) -> Capability:
    if isinstance(value, str):
        return Capability(name=NAME.read(reading, value, path))
    capability: Capability = _CAPABILITY.read(reading, value, path)
    return capability


def _schemas(values: dict[str, Any], _path: KeyPath) -> Capability:
    given: Raw | None = values.get("input")
    made: Raw | None = values.get("output")
    return Capability(name=values["name"], input_schema=given, output_schema=made)


_CAPABILITY = Shape(
    "a capability",
    (
        Field("name", NAME, "Name of the ability", required=True),
        Field("input", OUTPUT_SCHEMA, "JSON Schema of what it takes"),
        Field("output", OUTPUT_SCHEMA, "JSON Schema of what it gives"),
    ),
    _schemas,
)
_CAPABILITIES = list_of(Kind(_capability, {"oneOf": [NAME.schema, _CAPABILITY.schema]}), "capabilities")
_MODEL = Field("model", MODEL, "The agent's model, as provider:name")
_DESCRIPTION = Field("description", TEXT, "What the agent is for")
_TOOLS = Field("tools", TOOLS, "Tools the agent may use; none if left out")

_EXTRAS = (
    Field("role", TEXT, "The part the agent plays"),
    Field("capabilities", _CAPABILITIES, "Abilities a step can require"),
    Field("max_tokens", COUNT, "Tokens of the longest reply"),
    Field("at_once", COUNT, "Calls of the agent open at once, over a whole run"),
    Field("iterations", COUNT, "Model calls in one attempt"),
    Field("limits", STEP_LIMITS, "At most what the agent spends in one step"),
    Field("fallback", list_of(NAME, "agents"), "Agents that take over, in order, where this one has failed"),
    Field("approve", TOOLS, "Tools of which each call waits for a person's approval"),
    *POLICIES,
    Field("version", Kind(_version, {"type": ["string", "integer"]}), "Version of the agent, for people"),
)
_LATER = ("kind",)
OWN_KEYS = frozenset(field.name for field in _EXTRAS)
"""Keys that stand below `metadata:` in front matter, since other programs know nothing of them."""


def _extras(values: dict[str, Any], _path: KeyPath) -> dict[str, Any]:
    return renamed(values, iterations="iterations_max", fallback="fallbacks", timeout="timeout_ms")


def _inline(values: dict[str, Any], path: KeyPath) -> AgentSpec:
    if "instructions" in values:
        values["instructions"] = str(values["instructions"])
    return AgentSpec(name=str(path[-1]) if path else "", **_extras(values, path))


INLINE_AGENT = Shape(
    "an agent",
    (
        _DESCRIPTION,
        Field("instructions", PROMPT, "The agent's system text, or the path of a .md or .txt file"),
        _TOOLS,
        _MODEL,
        *_EXTRAS,
    ),
    _inline,
    later=_LATER,
)
METADATA = Shape("metadata", (*_EXTRAS, _MODEL), _extras, later=_LATER)
FRONT_MATTER = Shape(
    "an agent",
    (
        Field("name", NAME, "Name of the agent; else the file's name"),
        _DESCRIPTION,
        _TOOLS,
        Field("disallowedTools", TOOLS, "Tools taken away from the agent"),
        Field(
            "model", Kind(_foreign_model, {"type": ["string", "null"]}), "provider:name; other names are left alone"
        ),
        Field("skills", SKILLS, "Skills whose text the agent is given: folders with a SKILL.md"),
        Field("metadata", METADATA, "What other programs do not know"),
    ),
    lambda values, _path: values,
)
