"""Where a plan differs from the one that was recorded: the place of the part that explains a difference.

Nearest first: the step itself, the sub-plans around it, the agents and tools it can reach, then what holds for the
whole plan, then all other steps. Only parts that differ count, so one change is always found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan, PlanWork, PromptWork, Step, Work
from tenuto.core.spec import RunSpec

__all__ = ["changed_place"]

_KEYS = {
    "condition": "if",
    "fallbacks": "fallback",
    "iterations_max": "iterations",
    "time_ms": "time",
    "timeout_ms": "timeout",
    "usd_micros": "usd",
    "values": "with",
}
"""Fields whose key in a file has another name."""

_SILENT = frozenset(("capabilities", "description", "digest", "name", "role", "version"))
"""What changes no call by itself."""

_CAUSES: dict[str, tuple[str, ...]] = {
    "extends": ("prompt", "instructions"),
    "grants": ("grants",),
    "keep": ("keep",),
    "max_tokens": ("max_tokens",),
    "messages": ("prompt", "instructions", "with", "foreach", "repeat"),
    "model": ("model",),
    "output_schema": ("output",),
    "plan": ("merge", "reads"),
    "repeatable": ("repeatable",),
    "timeout_ms": ("timeout",),
    "tools": ("tools",),
}
"""Which keys most likely stand behind what differs in a call."""


def changed_place(recorded: RunSpec, current: RunSpec, names: Sequence[str], differing: Iterable[str] = ()) -> str:
    """The place of the changed part nearest to a step, or an empty string where no part with a place differs.

    `names` lead to the step, through its sub-plans. `differing` are the names of what differs in its call.
    """
    likely = [key for name in differing for key in _CAUSES.get(name, ())]
    for parts in _rings(recorded, current, names):
        found = [part for part in parts if current.place(part)]
        if found:
            return current.place(min(found, key=lambda part: part.rpartition(".")[2] not in likely))
    return ""


def _rings(recorded: RunSpec, current: RunSpec, names: Sequence[str]) -> Iterator[list[str]]:
    """Changed parts, those nearest to the step first."""
    levels = list(_levels(recorded.plan, current.plan, names))
    for before, after, at in reversed(levels):
        yield [f"{at}.{key}" for key in _step_keys(before, after)]
    if levels:
        yield list(_agents_and_tools(recorded, current, levels[-1][1]))
    yield list(_around(recorded.plan, current.plan))
    yield list(_all_steps(recorded.plan, current.plan, ""))
    yield [f"agents.{name}.{key}" for name in current.registry.agents for key in _agent_keys(recorded, current, name)]
    yield list(_tool_parts(recorded, current, current.registry.tools))


def _levels(before: Plan, after: Plan, names: Sequence[str]) -> Iterator[tuple[Step, Step, str]]:
    """The steps on the way to one, in both plans, each with its part's name."""
    prefix = ""
    for name in names:
        old, new = _named(before, name), _named(after, name)
        if old is None or new is None:
            return
        at = f"{prefix}steps.{name}"
        yield old, new, at
        if not isinstance(old.work, PlanWork) or not isinstance(new.work, PlanWork):
            return
        if old.work.plan is None or new.work.plan is None:
            return
        before, after, prefix = old.work.plan, new.work.plan, f"{at}.plan."


def _named(plan: Plan, name: str) -> Step | None:
    return next((step for step in plan.steps if step.name == name), None)


def _differing(before: msgspec.Struct, after: msgspec.Struct) -> Iterator[str]:
    for name in after.__struct_fields__:
        if getattr(before, name, None) != getattr(after, name) and name not in _SILENT:
            yield _KEYS.get(name, name)


def _step_keys(before: Step, after: Step) -> Iterator[str]:
    yield from _work_keys(before.work, after.work)
    yield from (key for key in _differing(before, after) if key != "work")


def _work_keys(before: Work, after: Work) -> Iterator[str]:
    kind = str(type(after).__struct_config__.tag)
    if isinstance(before, PromptWork) and isinstance(after, PromptWork):
        if before.agent != after.agent:
            yield "agent"
        if (before.source, before.text) != (after.source, after.text):
            yield kind
    elif isinstance(before, PlanWork) and isinstance(after, PlanWork):
        if (before.source, before.text) != (after.source, after.text):
            yield kind
    elif before != after:
        yield kind


def _agents_and_tools(recorded: RunSpec, current: RunSpec, step: Step) -> Iterator[str]:
    """What differs in the agents that a step names, and in the tools that it can reach."""
    work = step.work
    names = [work.agent, *step.fallback] if isinstance(work, PromptWork) else list(current.registry.agents)
    tools: list[str] = []
    for name in names:
        agent = None if name is None else current.registry.agents.get(name)
        if agent is not None:
            yield from (f"agents.{name}.{key}" for key in _agent_keys(recorded, current, agent.name))
            tools += agent.tools
    yield from _tool_parts(recorded, current, tools if isinstance(work, PromptWork) else current.registry.tools)


def _agent_keys(recorded: RunSpec, current: RunSpec, name: str) -> Iterator[str]:
    before = recorded.registry.agents.get(name) or AgentSpec(name=name)
    after = current.registry.agents[name]
    for key in _differing(before, after):
        changed = [f"skills/{skill.name}" for skill in after.skills if skill not in before.skills]
        yield from changed if key == "skills" and changed else [key]


def _tool_parts(recorded: RunSpec, current: RunSpec, names: Iterable[str]) -> Iterator[str]:
    before, after = recorded.registry.tools, current.registry.tools
    yield from (f"tools.{name}" for name in dict.fromkeys(names) if before.get(name) != after.get(name))


def _around(before: Plan, after: Plan) -> Iterator[str]:
    """What holds for the whole plan."""
    for section in ("defaults", "budget"):
        yield from (f"{section}.{key}" for key in _differing(getattr(before, section), getattr(after, section)))
    yield from _entries("inputs", before.inputs, after.inputs, ".default")
    if before.merge != after.merge:
        yield "merge"
    yield from _entries("outputs", before.outputs, after.outputs)


def _entries(section: str, before: dict[str, Any], after: dict[str, Any], key: str = "") -> Iterator[str]:
    for name, value in after.items():
        if before.get(name) != value:
            yield f"{section}.{name}{key}"
    if before.keys() - after.keys():
        yield section


def _all_steps(before: Plan, after: Plan, prefix: str) -> Iterator[str]:
    for step in after.steps:
        at = f"{prefix}steps.{step.name}"
        old = _named(before, step.name)
        if old is None:
            yield at
            continue
        yield from (f"{at}.{key}" for key in _step_keys(old, step))
        if isinstance(old.work, PlanWork) and isinstance(step.work, PlanWork) and old.work.plan and step.work.plan:
            inner, was = step.work.plan, old.work.plan
            yield from (f"{at}.plan.{part}" for part in _around(was, inner))
            yield from _all_steps(was, inner, f"{at}.plan.")
    if [step.name for step in before.steps] != [step.name for step in after.steps]:
        yield f"{prefix}steps"
