"""A plan file with all it names: agents, tools and programs resolved, checked as a run would."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenuto.core.agent_work import MODEL_DEFAULT
from tenuto.core.agents import AgentSpec
from tenuto.core.canonical import DIGITS_MAX, clean
from tenuto.core.plan import Plan, UsesWork, every_step, plans_within
from tenuto.core.problems import shorten
from tenuto.errors import InvalidPlanError, UsageError

if TYPE_CHECKING:
    from tenuto.adapters.plans.plan_file import LoadedPlan
    from tenuto.ports.tools import Sandbox, Tool

__all__ = [
    "PLAN_PLACE",
    "SET_PLACE",
    "ReadyPlan",
    "check_json_inputs",
    "model_names",
    "plan_directory",
    "plan_place",
    "programs_of",
    "read_inputs",
    "ready_loaded",
    "ready_plan",
    "tool_modules",
    "with_settings",
]

PLAN_PLACE = "plan"
"""Under this key `Lock.places` holds the plan's own file: relative to the repository, or absolute."""
SET_PLACE = "--set "
"""Under this and its path `Lock.places` holds what was set in the run's plan by a fork, and not in its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyPlan:
    """A plan that can be run. `directory` is that of its file; Python modules are looked for there first."""

    plan: Plan
    agents: Mapping[str, AgentSpec]
    places: Mapping[str, str]
    directory: Path
    sandbox: Sandbox | None
    tools: Any


async def ready_plan(
    path: Path,
    repository: Path,
    *,
    sandbox: str | None,
    need_sandbox: bool = True,
    secrets: Collection[str] | None = None,
) -> ReadyPlan:
    """Read, resolve and check a plan file. InvalidPlanError names up to 20 problems with their places.

    Imports the Python modules that the plan names. Without `need_sandbox` none is looked for. `secrets` are the
    names that the configuration declares; None: not checked.
    """
    from tenuto.adapters.plans.plan_file import load_plan

    _refuse_directory(path)
    return await ready_loaded(
        load_plan(path),
        repository,
        sandbox=sandbox,
        need_sandbox=need_sandbox,
        secrets=secrets,
        place={PLAN_PLACE: plan_place(path, repository)},
    )


async def ready_loaded(
    loaded: LoadedPlan,
    repository: Path,
    *,
    sandbox: str | None,
    need_sandbox: bool = True,
    secrets: Collection[str] | None = None,
    place: Mapping[str, str],
    more: Sequence[Tool] = (),
) -> ReadyPlan:
    """As `ready_plan`, for a plan that is read, or built in Python; with `more` tools than those it names."""
    from tenuto.app.build import build_toolbox, choose_sandbox
    from tenuto.core.validation import validate_plan

    if need_sandbox:
        found = await choose_sandbox(loaded.plan, loaded.agents, sandbox)
    else:
        from tenuto.adapters.sandboxes.unconfined import NoSandbox

        found = NoSandbox()  # nothing is run: the tool is only described
    tools = build_toolbox(tool_modules(loaded.plan), loaded.directory, found, repository=repository, more=more)
    names = {spec.name for spec in tools.specs()} | {"run"}
    shown = {part: (loaded.directory / place).as_posix() for part, place in loaded.places.items()}
    validate_plan(loaded.plan, loaded.agents, names, shown, secrets=secrets)
    places = {**loaded.places, **place}
    return ReadyPlan(
        plan=loaded.plan,
        agents=loaded.agents,
        places=places,
        directory=loaded.directory,
        sandbox=found,
        tools=tools,
    )


def _refuse_directory(path: Path) -> None:
    if path.is_dir():
        raise InvalidPlanError("is a directory", where=str(path), fix="name a *.plan.yaml file in it")


def plan_place(path: Path, repository: Path) -> str:
    """Where a plan's file is, as the lock says it: relative to the repository where it is inside."""
    whole, root = os.path.realpath(path), os.path.realpath(repository)
    return os.path.relpath(whole, root) if Path(whole).is_relative_to(root) else whole


def with_settings(
    plan: Plan, agents: Mapping[str, AgentSpec], directory: Path, places: Mapping[str, str]
) -> tuple[Plan, Mapping[str, AgentSpec]]:
    """A plan of today's files with what was set in a recorded one by forks: `places` is the recorded one's."""
    settings = {part.removeprefix(SET_PLACE): text for part, text in places.items() if part.startswith(SET_PLACE)}
    if not settings:
        return plan, agents
    from tenuto.adapters.plans.part_setting import PlanAndAgents, set_part

    whole = PlanAndAgents(plan, agents, directory)
    for path, text in settings.items():
        whole = set_part(whole, path, text)
    return whole.plan, whole.agents


def plan_directory(places: Mapping[str, str], repository: Path) -> Path:
    """The directory of the plan's file; the repository where the plan is from no file."""
    place = places.get(PLAN_PLACE)
    return repository if place is None else (repository / place).parent


def read_inputs(given: tuple[str, ...]) -> dict[str, str]:
    """`name=value` pairs. UsageError for anything else, and for a name given twice.

    Bytes that are no UTF-8 become U+FFFD here, as they do at every other entry.
    """
    values: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError("an input is given as NAME=VALUE", where=f"--input {shorten(pair)}", fix="add the =")
        if name in values:
            raise UsageError("this input is given twice", where=f"--input {shorten(pair)}", fix="give it once")
        where = f"--input {shorten(name)}"
        if "\x00" in value:
            raise UsageError("the character NUL is not allowed", where=where, fix="remove it")
        values[name] = clean(value)
    return values


def check_json_inputs(plan: Plan, given: Mapping[str, Any]) -> None:
    """Refuse what reads as JSON but is more than JSON holds, with its cause. Anything else is left to its type."""
    for name, spec in plan.inputs.items():
        value = given.get(name)
        wrong = _beyond_json(value) if isinstance(value, str) and spec.type != "string" else ""
        if wrong:
            raise UsageError(wrong, where=f"input {name}", fix="give a finite, smaller value, or declare a string")


def _beyond_json(text: str) -> str:
    """What JSON cannot hold in a text that is written like it; empty where nothing is."""
    import json

    constants: list[str] = []
    try:
        json.loads(text, parse_constant=constants.append, parse_int=_few_digits)
    except RecursionError:
        return "the value is nested too deeply"
    except _TooLongError:
        return f"a number has more than {DIGITS_MAX} digits"
    except ValueError:
        return ""
    return f"{constants[0]} is not a number in JSON" if constants else ""


class _TooLongError(Exception):
    """A number of more digits than are encoded."""


def _few_digits(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS_MAX:
        raise _TooLongError
    return int(digits)


def programs_of(plan: Plan) -> list[tuple[str, str]]:
    """Path and target of every step that is a Python program, in sub-plans too."""
    return [(path, step.work.target) for path, step in every_step(plan) if isinstance(step.work, UsesWork)]


def tool_modules(plan: Plan) -> list[str]:
    """The modules of tools that the plan and its sub-plans name, each once."""
    return list(dict.fromkeys(module for _, part in plans_within(plan) for module in part.tools))


def model_names(plan: Plan, agents: Mapping[str, AgentSpec], override: str | None) -> set[str]:
    """Every model that a run of the plan may use; `override` alone where it is given."""
    if override is not None:
        return {override}
    named = {step.model for _, step in every_step(plan)} | {agent.model for agent in agents.values()}
    named |= {part.defaults.model for _, part in plans_within(plan)}
    return {name for name in named if name} | {plan.defaults.model or MODEL_DEFAULT}
