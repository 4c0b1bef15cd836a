"""Plans as YAML: one text where the plan names no files, a directory of files where it does.

What is written is read back before it is given away: a plan that a plan file cannot say (a deadline of nothing, a
tool named like another program's) is refused, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tenuto.adapters.plans.plan_file import LoadedPlan, read_plan
from tenuto.adapters.plans.plan_keys import PLAN, PlanParts
from tenuto.adapters.plans.plan_values import plan_value
from tenuto.adapters.plans.reading import Reading
from tenuto.adapters.plans.yaml_document import read_yaml, written
from tenuto.adapters.plans.yaml_writing import yaml_text
from tenuto.core.agents import AgentSpec
from tenuto.core.plan import Plan, PlanWork, PromptWork, Step
from tenuto.core.problems import shorten
from tenuto.errors import InvalidPlanError

__all__ = ["plan_from_yaml", "plan_to_yaml", "self_contained"]

_FILE = "the written plan"


def plan_from_yaml(text: str, directory: Path = Path()) -> LoadedPlan:
    """Read and validate the text of a plan file; files that it names are looked for in `directory`.

    InvalidPlanError as from `load_plan`; what is wrong is placed in `plan.yaml`.
    """
    return read_plan(text.encode("utf-8", "surrogatepass"), directory / "plan.yaml")


def plan_to_yaml(plan: Plan, agents: Mapping[str, AgentSpec] | None = None) -> str:
    """The text of a plan file that reads back as this plan, with the same digest, and these agents.

    The same plan gives the same text. InvalidPlanError where the plan names files (`write_plan` writes those, and
    `self_contained` gives an equal plan without them), and where a plan file cannot say what it holds.
    """
    named = next(_files_of(plan, ""), None)
    if named is not None:
        part, file = named
        raise InvalidPlanError(
            f"the plan is written in several files, and {shorten(file)} is one of them",
            where=part,
            fix="write its files with write_plan, or take them in with self_contained",
        )
    text = file_text(plan, agents or {})
    parts = _read_back(text)
    refuse_difference(plan, parts.plan, _FILE)
    refuse_difference(dict(agents or {}), parts.agents, _FILE)
    return text


def file_text(plan: Plan, agents: Mapping[str, AgentSpec]) -> str:
    """The text, without a look at whether it reads back."""
    try:
        return yaml_text(plan_value(plan, agents))
    except (ValueError, RecursionError) as error:
        raise InvalidPlanError(f"the plan holds what is no JSON: {shorten(str(error))}", fix="correct it") from None


def self_contained(plan: Plan) -> Plan:
    """The plan without the names of the files that it was read from: their texts, agents and sub-plans stand in it.

    It does the same; its digest is another where it named any.
    """
    steps = tuple(msgspec.structs.replace(step, work=_without_source(step)) for step in plan.steps)
    return msgspec.structs.replace(plan, agents=(), steps=steps)


def _without_source(step: Step) -> Any:
    match step.work:
        case PromptWork():
            return msgspec.structs.replace(step.work, source="")
        case PlanWork(plan=Plan() as plan):
            return msgspec.structs.replace(step.work, plan=self_contained(plan), source="")
        case work:
            return work


def _files_of(plan: Plan, prefix: str) -> Any:
    """The files that a plan and its sub-plans name, each with the part that names it."""
    yield from ((f"{prefix}agents", glob) for glob in plan.agents)
    for step in plan.steps:
        match step.work:
            case PromptWork(source=source) if source:
                yield f"{prefix}steps.{step.name}.prompt", source
            case PlanWork(source=source) if source:
                yield f"{prefix}steps.{step.name}.plan", source
            case PlanWork(plan=Plan() as inner):
                yield from _files_of(inner, f"{prefix}steps.{step.name}.plan.")
            case _:
                pass


def _read_back(text: str) -> PlanParts:
    document = read_yaml(text.encode("utf-8", "surrogatepass"), _FILE)
    reading = Reading(document, Path(), closed=True)
    parts: PlanParts = reading.take(PLAN, document.value, ())
    reading.finish()
    return parts


def refuse_difference(wanted: Any, got: Any, file: str) -> None:
    """InvalidPlanError that names the first part in which two plans, or their agents, differ."""
    if wanted == got:
        return
    path = _difference(wanted, got)
    raise InvalidPlanError(
        "a plan file cannot say what this part holds", where=f"{file}: {written(path)}", fix="write it otherwise"
    )


def _difference(wanted: Any, got: Any) -> tuple[str | int, ...]:
    """The path to the first part that is not equal."""
    if type(wanted) is not type(got) or wanted == got:
        return ()
    if isinstance(wanted, msgspec.Struct):
        names = wanted.__struct_fields__
        name = next(name for name in names if getattr(wanted, name) != getattr(got, name))
        return (name, *_difference(getattr(wanted, name), getattr(got, name)))
    if isinstance(wanted, dict) and set(wanted) == set(got):
        name = next(name for name in wanted if wanted[name] != got[name])
        return (name, *_difference(wanted[name], got[name]))
    if isinstance(wanted, tuple) and len(wanted) == len(got):
        index = next(index for index, item in enumerate(wanted) if item != got[index])
        return (index, *_difference(wanted[index], got[index]))
    return ()
