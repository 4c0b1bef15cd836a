"""Which file each part of a plan was read from, so that a difference between two plans can be laid to one file.

Files are named relative to the directory of the plan file, with `/`. A part that a file only brings in (the text of a
prompt, a sub-plan, an agent) belongs to that file as long as both plans name it there; where they name different
files, the difference is one of the plan that names them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan, PlanWork, PromptWork, Step

__all__ = ["DifferingPart", "differing_parts", "file_of_place", "files_of_plan"]

_KEYS = {"condition": "if", "timeout_ms": "timeout", "values": "with"}


class DifferingPart(NamedTuple):
    """A part (`steps.fix.prompt`) that is not the same in two plans, and the file that makes the difference."""

    part: str
    file: str


class _Part(NamedTuple):
    """What a part holds, and the files that lead to it: its own first, that of the whole plan last."""

    files: tuple[str, ...]
    value: Any


class _Read(NamedTuple):
    """A plan as it was read."""

    plan: Plan
    agents: Mapping[str, AgentSpec]
    places: Mapping[str, str]


def differing_parts(
    before: tuple[Plan, Mapping[str, AgentSpec], Mapping[str, str]],
    after: tuple[Plan, Mapping[str, AgentSpec], Mapping[str, str]],
) -> list[DifferingPart]:
    """Every part that differs, in plan order: each a plan, its agents and its places, as `LoadedPlan` has them."""
    old, new = _Read(*before), _Read(*after)
    was, now = dict(_parts(old)), dict(_parts(new))
    found = [DifferingPart(part, _common(was[part], now[part])) for part in now if _differs(was, now, part)]
    globs = next((one.file for one in found if one.part == "agents"), None)
    for read, other in ((new, old), (old, new)):
        one_sided = sorted(read.agents.keys() - other.agents.keys())
        found += [DifferingPart(f"agents.{name}", globs or _agent_files(read, name)[0]) for name in one_sided]
    return found


def _differs(was: Mapping[str, _Part], now: Mapping[str, _Part], part: str) -> bool:
    """What only one of the two has is told by the part around it: the list of steps, the kind of a step's work."""
    return part in was and was[part].value != now[part].value


def _common(was: _Part, now: _Part) -> str:
    """The nearest file that both were read from; the plan's own where there is none."""
    depth = min(len(was.files), len(now.files))
    for start in range(len(now.files) - depth, len(now.files)):
        if now.files[start:] == was.files[len(was.files) - len(now.files) + start :]:
            return now.files[start]
    return now.files[-1]


def _parts(read: _Read) -> Iterator[tuple[str, _Part]]:
    root = file_of_place(read.places.get("", ""))
    yield from _plan_parts(read, read.plan, "", (root,))
    for name, agent in read.agents.items():
        files = (*_agent_files(read, name), root)
        for key in agent.__struct_fields__:
            own = files
            if key == "instructions":
                own = (file_of_place(read.places.get(f"agents.{name}.instructions", "")) or files[0], *files)
            if key == "skills":
                yield f"agents.{name}.skills", _Part(_once(own), [skill.name for skill in agent.skills])
            else:
                yield f"agents.{name}.{key}", _Part(_once(own), getattr(agent, key))
        for skill in agent.skills:
            part = f"agents.{name}.skills/{skill.name}"
            yield part, _Part(_once((file_of_place(read.places.get(part, "")) or files[0], *files)), skill)


def _agent_files(read: _Read, name: str) -> tuple[str, ...]:
    """The file of an agent; that of the plan for one that is written there."""
    return (file_of_place(read.places.get(f"agents.{name}", "")) or file_of_place(read.places.get("", "")),)


def _plan_parts(read: _Read, plan: Plan, prefix: str, files: tuple[str, ...]) -> Iterator[tuple[str, _Part]]:
    for key in plan.__struct_fields__:
        value = getattr(plan, key)
        if key in ("budget", "defaults"):
            yield from (
                (f"{prefix}{key}.{_KEYS.get(name, name)}", _Part(files, getattr(value, name)))
                for name in value.__struct_fields__
            )
        else:
            yield f"{prefix}{key}", _Part(files, [s.name for s in value] if key == "steps" else value)
    for step in plan.steps:
        yield from _step_parts(read, step, f"{prefix}steps.{step.name}", files)


def _step_parts(read: _Read, step: Step, at: str, files: tuple[str, ...]) -> Iterator[tuple[str, _Part]]:
    for key in step.__struct_fields__:
        if key == "output":
            schema = file_of_place(read.places.get(f"{at}.output", ""))
            yield f"{at}.output", _Part(_once((schema or files[0], *files)), step.output)
        elif key != "work":
            yield f"{at}.{_KEYS.get(key, key)}", _Part(files, getattr(step, key))
    kind = str(type(step.work).__struct_config__.tag)
    match step.work:
        case PromptWork(agent=agent, source=source, text=text):
            yield f"{at}.agent", _Part(files, agent)
            own = _beside(files[0], source) if source else files[0]
            yield f"{at}.{kind}", _Part(_once((own, *files)), (source, text))
        case PlanWork(plan=Plan() as plan, source=source):
            yield f"{at}.{kind}", _Part(files, (source, ""))
            own = _beside(files[0], source) if source else files[0]
            yield from _plan_parts(read, plan, f"{at}.plan.", _once((own, *files)))
        case work:
            yield f"{at}.{kind}", _Part(files, work)
    yield at, _Part(files, kind)


def files_of_plan(plan: Plan, agents: Mapping[str, AgentSpec], places: Mapping[str, str]) -> set[str]:
    """Every file that the plan was read from."""
    read = _Read(plan, agents, places)
    return {part.files[0] for _, part in _parts(read)} - {""}


def file_of_place(place: str) -> str:
    """`agents/a.md` of `agents/a.md:3:1`."""
    return posixpath.normpath(place.rsplit(":", 2)[0]) if place.count(":") >= 2 else place


def _beside(file: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), source))


def _once(files: tuple[str, ...]) -> tuple[str, ...]:
    """Without a file that stands twice in a row: a part that its plan holds itself."""
    return tuple(file for index, file in enumerate(files) if index == 0 or file != files[index - 1])
