"""What a plan that an earlier step has produced may do: no more than the step that runs it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tenuto.core.plan import Plan, PlanWork, PromptWork, Registry, RunWork, Step, UsesWork
from tenuto.core.problems import shorten
from tenuto.core.tools import Grants

__all__ = ["beyond_its_step"]


def beyond_its_step(plan: Plan, step: Step, registry: Registry, models: Collection[str]) -> Iterator[str]:
    """Where a produced plan wants more than its step has: one line for each. `models` are those of the run.

    Its agents bring their own tools, unless the step names those that may be used. A command needs the tool `run`
    among them. Code is never named by a plan that was produced: data does not become code. Nor is a model: a name may
    hold a path, and would spend the key of whoever started the run.
    """
    if plan.tools:
        yield "tools: a produced plan brings no modules of tools"
    for where, model in [("defaults", plan.defaults.model), *((f"steps.{s.name}", s.model) for s in plan.steps)]:
        if model is not None and model not in models:
            yield f"{where}.model: {shorten(model)} is not a model of the run"
    for inner in plan.steps:
        where = f"steps.{inner.name}"
        for grant in _grants_beyond(inner.grants, step.grants):
            yield f"{where}.grants: {grant} is not granted to {step.name}"
        for tool in _tools_beyond(inner, step, registry):
            yield f"{where}: the tool {tool} is not among the tools of {step.name}"
        match inner.work:
            case UsesWork():
                yield f"{where}.uses: a produced plan names no code"
            case PlanWork(plan=Plan() as nested):
                yield from (f"{where}.plan.{line}" for line in beyond_its_step(nested, step, registry, models))
            case _:
                pass


def _grants_beyond(wanted: Grants, granted: Grants) -> Iterator[str]:
    if wanted.network and not granted.network:
        yield "network"
    for kind in ("env", "read", "secrets", "write"):
        yield from (f"{kind} {name}" for name in getattr(wanted, kind) if name not in getattr(granted, kind))


def _tools_beyond(inner: Step, step: Step, registry: Registry) -> Iterator[str]:
    if isinstance(inner.work, RunWork):
        if "run" not in (step.tools or ()):
            yield "run"
        return
    if step.tools is None:
        return
    names = (inner.work.agent, *inner.fallback) if isinstance(inner.work, PromptWork) else ()
    for name in names:
        agent = registry.agents.get(name or "")
        used = () if agent is None else agent.tools if inner.tools is None else inner.tools
        yield from (tool for tool in used if tool not in step.tools)
