"""Writing a plan as the files that it names: prompts, sub-plans and agents beside the plan file."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

from tenuto.adapters.plans.plan_file import load_plan
from tenuto.adapters.plans.plan_values import front_matter_value
from tenuto.adapters.plans.plan_writing import file_text, refuse_difference
from tenuto.adapters.plans.yaml_writing import yaml_text
from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan, PlanWork, PromptWork, plans_within
from tenuto.core.problems import shorten
from tenuto.errors import InvalidPlanError, StorageError

__all__ = ["write_plan"]


def write_plan(plan: Plan, agents: Mapping[str, AgentSpec], path: Path) -> None:
    """Write the plan file `path`, and every file that the plan names beside it, below the same directory.

    `load_plan(path)` then gives this plan and these agents: that is tried before this returns. Files that are there
    with another text are not written over. InvalidPlanError, StorageError.
    """
    texts = _Texts()
    texts.take_plan(plan, agents, path.name, path.name)
    for name, text in texts.found.items():
        _write(path.parent / name, text)
    loaded = load_plan(path)
    refuse_difference(plan, loaded.plan, path.as_posix())
    refuse_difference(dict(agents), loaded.agents, path.as_posix())


def _write(path: Path, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_bytes() != data:
            raise InvalidPlanError("the file is there, with another text", where=str(path), fix="name another place")
        path.write_bytes(data)
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise StorageError(what, where=str(path), fix="choose another place") from None


class _Texts:
    """The texts of all files, by path relative to the plan's directory."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def take_plan(self, plan: Plan, agents: Mapping[str, AgentSpec], name: str, part: str) -> None:
        """The file of a plan and all it names. `part` says who names it."""
        self._take(name, file_text(plan, agents), part)
        base = posixpath.dirname(name)
        self._take_works(plan, agents, base, part)
        if plan.agents:
            for file, agent in _agent_files(plan.agents, agents, part).items():
                front = yaml_text(front_matter_value(agent))
                self._take(posixpath.join(base, file), f"---\n{front}---\n{agent.system}\n", f"{part}: agents")

    def _take_works(self, plan: Plan, agents: Mapping[str, AgentSpec], base: str, part: str) -> None:
        for step in plan.steps:
            where = f"{part}: steps.{step.name}"
            match step.work:
                case PromptWork(source=source, text=text) if source:
                    self._take(posixpath.join(base, source), text, where)
                case PlanWork(plan=Plan() as inner, source=""):
                    self._take_works(inner, agents, base, f"{where}.plan")
                case PlanWork(plan=Plan() as inner, source=source):
                    self.take_plan(inner, _used(inner, agents), posixpath.join(base, source), where)
                case _:
                    pass

    def _take(self, name: str, text: str, part: str) -> None:
        file = posixpath.normpath(name)
        if file.startswith("../"):
            fix = "move the files below the directory of the plan"
            raise InvalidPlanError(f"{shorten(file)} is outside the directory of the plan", where=part, fix=fix)
        if self.found.setdefault(file, text) != text:
            raise InvalidPlanError(
                f"two parts of the plan hold different texts of {shorten(file)}", where=part, fix="name another file"
            )


def _agent_files(globs: tuple[str, ...], agents: Mapping[str, AgentSpec], part: str) -> dict[str, AgentSpec]:
    """A file for each agent, so that the globs find all of them: names first, then what fits the first pattern."""
    files = [glob for glob in globs if not any(mark in glob for mark in "*?[")]
    patterns = [glob for glob in globs if "*" in glob and not any(mark in glob for mark in "?[")]
    rest = [agents[name] for name in sorted(agents)]
    found = dict(zip(files, rest, strict=False))
    rest = rest[len(found) :]
    if rest and not patterns:
        raise InvalidPlanError(
            f"no file that the plan names is free for the agent {shorten(rest[0].name)}",
            where=f"{part}: agents",
            fix="name a pattern such as agents/*.md",
        )
    return found | {patterns[0].replace("**/", "").replace("*", agent.name): agent for agent in rest}


def _used(plan: Plan, agents: Mapping[str, AgentSpec]) -> dict[str, AgentSpec]:
    """The agents that a plan names, and those that take over from them."""
    names: list[str] = []
    for _, part in plans_within(plan):
        names += [part.merge.agent] if part.merge.agent else []
        for step in part.steps:
            agent = step.work.agent if isinstance(step.work, PromptWork) else None
            names += [name for name in (agent, step.merge.agent, *step.fallback) if name]
    found: dict[str, AgentSpec] = {}
    while names:
        name = names.pop()
        if name in agents and name not in found:
            found[name] = agents[name]
            names += agents[name].fallbacks
    return dict(sorted(found.items()))
