"""Plan files: from YAML, prompts, schemas and agents to one self-contained `Plan`, with the place of every part."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tenuto.adapters.plans.agent_file import load_agent
from tenuto.adapters.plans.agent_keys import BUILTIN_TOOLS
from tenuto.adapters.plans.inside import locator
from tenuto.adapters.plans.plan_keys import PLAN, PlanParts
from tenuto.adapters.plans.reading import Reading
from tenuto.adapters.plans.text import is_file, no_file, read_bytes
from tenuto.adapters.plans.yaml_document import Document, KeyPath, read_yaml, written
from tenuto.core.agents import AgentSpec
from tenuto.core.plan import PLAN_DEPTH_MAX, Plan, PlanWork, Step, plans_within
from tenuto.core.problems import Problem, shorten
from tenuto.core.validation import STEPS_MAX, validate_plan
from tenuto.errors import InvalidPlanError

__all__ = ["AGENTS_MAX", "LoadedPlan", "load_plan", "read_plan"]

AGENTS_MAX = 1_000
"""Agent files of one plan."""

_PLACES_DEPTH = 3
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """A plan, its agents, and where its parts stand: `steps.fix.prompt` -> `fix.plan.yaml:12:5`.

    Files in `places` are named relative to `directory`, the directory of the plan file.
    """

    plan: Plan
    places: dict[str, str]
    agents: dict[str, AgentSpec]
    directory: Path


def load_plan(
    path: Path,
    tools: Collection[str] | None = None,
    *,
    within: tuple[Path, ...] = (),
    known: dict[Path, LoadedPlan | InvalidPlanError] | None = None,
) -> LoadedPlan:
    """Read and validate a plan file.

    `tools` are the names of all tools there are. Without it the built-in ones are taken, unless the plan lists
    modules of tools: those are not imported here, so tool names stay unchecked until `validate_plan` is called
    with them. `within` are the files of the plans around this one, outermost first, and `known` what came of the
    sub-plans that were read before: each file is read once, however often it is named. Raises InvalidPlanError, a
    line for each of up to 20 problems, and nothing else.
    """
    return read_plan(read_bytes(path, path.as_posix()), path, tools, within=within, known=known)


def read_plan(
    data: bytes,
    path: Path,
    tools: Collection[str] | None = None,
    *,
    within: tuple[Path, ...] = (),
    agents: Mapping[str, AgentSpec] | None = None,
    known: dict[Path, LoadedPlan | InvalidPlanError] | None = None,
) -> LoadedPlan:
    """As `load_plan`, from bytes that stand for the file at `path`; the files it names are read beside it.

    With `agents` the plan names no files at all, and no agents but these.
    """
    directory = path.parent
    document = read_yaml(data, path.as_posix())
    reading = Reading(document, directory, closed=agents is not None)
    parts: PlanParts = reading.take(PLAN, document.value, ())
    reading.finish()
    plan = parts.plan
    if "name" not in document.value:
        plan = msgspec.structs.replace(plan, name=_stem(path))
    places = _places(document, path.name)
    places |= {part: f"{source}:1:1" for part, source in reading.sources.items()}
    if agents is not None:
        _refuse_agents(reading, document.value)
        found = dict(agents)
    else:
        found, agent_places = _load_agents(reading, plan.agents, parts.agents)
        places |= agent_places
    reading.finish()
    given = _SubPlans(reading, found, tools, (*within, path), {} if known is None else known)
    plan = _with_sub_plans(given, plan)
    reading.finish()
    if tools is None and not any(part.tools for _, part in plans_within(plan)):
        tools = BUILTIN_TOOLS
    shown = {part: (directory / place).as_posix() for part, place in places.items()}
    validate_plan(plan, found, tools, shown, locate=locator(document, data), closed=reading.closed)
    kept = {part: place for part, place in places.items() if _depth(part) < _PLACES_DEPTH} | given.places
    return LoadedPlan(plan, kept, found, directory)


def _refuse_agents(reading: Reading, value: Mapping[str, object]) -> None:
    if "agents" in value:
        reading.note(("agents",), "a plan that a step has produced brings no agents", "remove it", key=True)


@dataclass(frozen=True, slots=True)
class _SubPlans:
    """What reading the sub-plans of a file needs. Their agents join those that are known, as their `places` do."""

    reading: Reading
    agents: dict[str, AgentSpec]
    tools: Collection[str] | None
    within: tuple[Path, ...]
    known: dict[Path, LoadedPlan | InvalidPlanError]
    places: dict[str, str] = field(default_factory=dict[str, str])


def _with_sub_plans(given: _SubPlans, plan: Plan, prefix: KeyPath = ()) -> Plan:
    """The plan with the sub-plans of its files in it."""
    steps: list[Step] = []
    count = len(plan.steps)
    for step in plan.steps:
        work = step.work
        if isinstance(work, PlanWork) and (work.source or work.plan is not None):
            at = (*prefix, "steps", step.name, "plan")
            inner = _sub_plan(given, at, work.source) if work.plan is None else _with_sub_plans(given, work.plan, at)
            count += 0 if inner is None else sum(len(part.steps) for _, part in plans_within(inner))
            if count > STEPS_MAX:
                what = f"with the steps of its sub-plans the plan has more than {STEPS_MAX} steps"
                given.reading.note(at, what, "use foreach")
                return plan
            step = msgspec.structs.replace(step, work=msgspec.structs.replace(work, plan=inner))
        steps.append(step)
    return msgspec.structs.replace(plan, steps=tuple(steps))


def _sub_plan(given: _SubPlans, at: KeyPath, source: str) -> Plan | None:
    reading = given.reading
    file = reading.directory / source
    if any(file.resolve() == outer.resolve() for outer in given.within):
        reading.note(at, f"{shorten(source)} is a plan that this one is part of", "use repeat for a loop")
        return None
    if len(given.within) > PLAN_DEPTH_MAX:
        reading.note(at, f"plans are nested deeper than {PLAN_DEPTH_MAX}", "nest fewer")
        return None
    loaded = _loaded(given, file)
    if isinstance(loaded, InvalidPlanError):
        found = [Problem("", e.what, e.fix, e.where) for e in loaded.errors]
        reading.problems += [problem for problem in found if problem not in reading.problems]
        return None
    for name, agent in loaded.agents.items():
        if given.agents.setdefault(name, agent) != agent:
            reading.note(at, f"two agents are named {shorten(name)}: here and in {shorten(source)}", "rename one")
    beside = Path(source).parent
    for part, place in loaded.places.items():
        if part.startswith("agents."):
            given.places.setdefault(part, (beside / place).as_posix())
        elif part:
            given.places[f"{written(at)}.{part}"] = (beside / place).as_posix()
    return loaded.plan


def _depth(part: str) -> int:
    """How deep a part lies in its own plan."""
    inner = part.rpartition(".plan.")[2]
    return inner.count(".") + inner.count("[")


def _loaded(given: _SubPlans, file: Path) -> LoadedPlan | InvalidPlanError:
    found = given.known.get(file)
    if found is None:
        try:
            found = load_plan(file, given.tools, within=given.within, known=given.known)
        except InvalidPlanError as error:
            found = error
        given.known[file] = found
    return found


def _stem(path: Path) -> str:
    return re.sub(r"(?:\.plan)?\.ya?ml\Z", "", path.name) or "plan"


def _places(document: Document, file: str) -> dict[str, str]:
    """Each part of a plan to its place: keys where there are keys, else items."""
    places = {"": f"{file}:1:1"}
    for path, mark in document.values.items():
        if path:
            at = document.keys.get(path, mark)
            places[written(path)] = f"{file}:{at.line}:{at.column}"
    return places


def _load_agents(
    reading: Reading, globs: tuple[str, ...], inline: Mapping[str, AgentSpec]
) -> tuple[dict[str, AgentSpec], dict[str, str]]:
    """The agents of all files the globs match, in order of name, and the places of their parts."""
    agents = dict(inline)
    files: dict[str, str] = {}
    places: dict[str, str] = {}
    for index, glob in enumerate(globs):
        at: KeyPath = ("agents", index) if ("agents", index) in reading.document.values else ("agents",)
        for file in _matches(reading, glob, at):
            if file in files.values():
                continue
            if len(files) >= AGENTS_MAX:
                reading.note(at, f"the plan has more than {AGENTS_MAX} agents", "write a narrower pattern")
                return agents, places
            path = reading.directory / file
            try:
                loaded = load_agent(path, path.as_posix(), plan=reading.directory)
            except InvalidPlanError as error:
                reading.problems += [Problem("", e.what, e.fix, e.where) for e in error.errors]
                continue
            name = loaded.agent.name
            if name in agents:
                what = f"two agents are named {shorten(name)}: in {files[name]} and {file}"
                reading.note(at, what, "rename one, or write a narrower pattern")
                continue
            agents[name] = loaded.agent
            files[name] = file
            places |= {part: _relative(place, reading.directory) for part, place in loaded.places.items()}
    return dict(sorted(agents.items())), places


def _matches(reading: Reading, glob: str, at: KeyPath) -> list[str]:
    """Files relative to the plan's directory, in order of name."""
    directory = reading.directory
    if not _WILD.search(glob):
        if not is_file(directory / glob):
            what = f"the file {shorten(glob)} {no_file(directory / glob)}"
            reading.note(at, what, "create it, or correct the path")
            return []
        return [glob]
    if "**" in glob and ".." in glob.split("/"):
        reading.note(at, f"{shorten(glob)} would look through all that is above the plan", "leave out .. or **")
        return []
    try:
        found = [path for path in directory.glob(glob) if path.is_file()]
    except (ValueError, NotImplementedError, OSError, IndexError):
        reading.note(at, f"{shorten(glob)} is not a pattern of files", "write one such as agents/*.md")
        return []
    return sorted(_relative(path.as_posix(), directory) for path in found)


def _relative(place: str, directory: Path) -> str:
    prefix = directory.as_posix() + "/"
    return place[len(prefix) :] if directory != Path(".") and place.startswith(prefix) else place
