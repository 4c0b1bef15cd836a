"""What must hold in a plan beyond its types: one set of rules for plan files and for plans built in Python.

Pure: what the plan's agents and tools are is handed in. Problems name a part of the plan (`steps.fix.needs[0]`);
where that part was written is looked up in `places`, if the plan came from a file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from tenuto.core.agents import AgentSpec
from tenuto.core.canonical import parse
from tenuto.core.ids import valid_name
from tenuto.core.plan import PLAN_DEPTH_MAX, InputSpec, Plan, PlanWork, Retry, Step
from tenuto.core.plan_graph import PlanGraph
from tenuto.core.plan_inputs import fits
from tenuto.core.plan_templates import output_templates, step_templates
from tenuto.core.plan_works import Known, named_agent, step_work
from tenuto.core.printable import is_printable
from tenuto.core.problems import PROBLEMS_MAX, Locate, Problem, did_you_mean, refuse, shorten

__all__ = ["STEPS_MAX", "validate_plan"]

STEPS_MAX = 10_000
"""Steps of the largest plan."""
_MODULE = re.compile(r"python:[A-Za-z_][\w.]*\Z")


def validate_plan(
    plan: Plan,
    agents: Mapping[str, AgentSpec],
    tools: Collection[str] | None,
    places: Mapping[str, str] | None = None,
    *,
    secrets: Collection[str] | None = None,
    locate: Locate | None = None,
    closed: bool = False,
) -> None:
    """Raise InvalidPlanError with up to `PROBLEMS_MAX` problems, in plan order, if the plan cannot be run.

    `tools` and `secrets` are the names of all there are; None = not known yet, so these names are not checked.
    `locate` finds what stands inside a string of the file, where the plan came from one. A `closed` plan was produced
    by a step, and brings no agents of its own.
    """
    known = Known(agents, tools, secrets, closed)
    refuse(islice(_problems(plan, known), PROBLEMS_MAX), places or {}, locate)


def _problems(plan: Plan, known: Known) -> Iterator[Problem]:
    yield from _agents(known.agents, known.tools)
    yield from _plan(plan, known, 0)


def _plan(plan: Plan, known: Known, depth: int) -> Iterator[Problem]:
    yield from _frame(plan)
    graph = PlanGraph.of(plan.steps)
    names = [step.name for step in plan.steps]
    yield from _needs(plan.steps, graph)
    for step in plan.steps:
        yield from _step(step, known, names, graph)
        yield from step_templates(step, plan.inputs, graph)
        if isinstance(step.work, PlanWork) and step.work.plan is not None:
            yield from _sub_plan(step, step.work.plan, known, depth + 1)
    yield from output_templates(plan, graph)


def _sub_plan(step: Step, plan: Plan, known: Known, depth: int) -> Iterator[Problem]:
    path = f"steps.{shorten(step.name)}"
    if depth > PLAN_DEPTH_MAX:
        yield Problem(f"{path}.plan", f"plans are nested deeper than {PLAN_DEPTH_MAX}", "nest fewer")
        return
    for problem in _plan(plan, known, depth):
        yield problem._replace(path=f"{path}.plan.{problem.path}")
    for name in step.values:
        if name not in plan.inputs:
            fix = did_you_mean(name, plan.inputs) if plan.inputs else "remove it"
            yield Problem(f"{path}.with.{shorten(name)}", f"the sub-plan has no input {shorten(name)}", fix)
    for name, spec in plan.inputs.items():
        if spec.default is None and name not in step.values:
            yield Problem(f"{path}.plan", f"the sub-plan needs the input {shorten(name)}", f"add {name} to with")


def _frame(plan: Plan) -> Iterator[Problem]:
    if not plan.name.strip() or len(plan.name) > 100 or not is_printable(plan.name):
        yield Problem("name", "a plan's name is one line of 1 to 100 characters", "shorten or write it")
    for name, spec in plan.inputs.items():
        yield from _input(name, spec)
    for index, module in enumerate(plan.tools):
        if not _MODULE.match(module):
            yield Problem(f"tools[{index}]", f"{shorten(module)} names no module", "write python:MODULE")
    yield from _retry("defaults.retry", plan.defaults.retry)
    yield from _positive("defaults", max_tokens=plan.defaults.max_tokens, timeout=plan.defaults.timeout_ms)
    if plan.defaults.model is not None:
        yield from _model("defaults.model", plan.defaults.model)
    if plan.merge.kind == "agent":
        fix = "add a last step that needs the others, and write it there"
        yield Problem("merge", "the end of a plan has no agent to settle conflicts", fix)
    names = {step.name for step in plan.steps}
    if plan.merge.kind == "prefer" and plan.merge.prefer not in names:
        prefer = plan.merge.prefer or ""
        yield Problem("merge.prefer", f"there is no step {shorten(prefer)}", did_you_mean(prefer, names))
    if not plan.steps:
        yield Problem("steps", "a plan needs at least one step", "write one, such as hello: {run: echo hello}")
    if len(plan.steps) > STEPS_MAX:
        yield Problem("steps", f"a plan has at most {STEPS_MAX} steps, here are {len(plan.steps)}", "use foreach")


def _input(name: str, spec: InputSpec) -> Iterator[Problem]:
    if not valid_name(name):
        yield Problem(
            f"inputs.{shorten(name)}", "this cannot be a name", "use a letter, then letters, digits, _ or -"
        )
    if spec.default is not None and not fits(spec.type, parse(spec.default)):
        yield Problem(f"inputs.{shorten(name)}.default", f"the default is no {spec.type}", "change type or default")


def _agents(agents: Mapping[str, AgentSpec], tools: Collection[str] | None) -> Iterator[Problem]:
    for name, agent in agents.items():
        path = f"agents.{shorten(name)}"
        if not valid_name(name):
            yield Problem(path, "this cannot be a name", "use a letter, then letters, digits, _ or -")
        if agent.model is not None:
            yield from _model(f"{path}.model", agent.model)
        yield from _positive(
            path, max_tokens=agent.max_tokens, at_once=agent.at_once, iterations=agent.iterations_max
        )
        for index, tool in enumerate(agent.tools):
            if tools is not None and tool not in tools:
                yield Problem(
                    f"{path}.tools[{index}]", f"there is no tool {shorten(tool)}", did_you_mean(tool, tools)
                )


def _needs(steps: Sequence[Step], graph: PlanGraph) -> Iterator[Problem]:
    seen: set[str] = set()
    for step in steps:
        path = f"steps.{shorten(step.name)}"
        if step.name == "end":
            yield Problem(path, "the name end is taken by the end of the plan", "use another name")
        elif not valid_name(step.name):
            yield Problem(
                path, "a step cannot have this name", "use a letter, then at most 63 letters, digits, _ or -"
            )
        elif step.name in seen:
            yield Problem(path, "two steps have this name", "rename one")
        seen.add(step.name)
        for index, need in enumerate(step.needs):
            where = f"{path}.needs[{index}]"
            if need == step.name:
                yield Problem(where, "a step cannot need itself", "remove it")
            elif need not in graph:
                yield Problem(where, f"there is no step {shorten(need)}", did_you_mean(need, graph.names))
            elif need in step.needs[:index]:
                yield Problem(where, f"{need} is listed twice", "remove one")
    if graph.cycle:
        first = next(iter(graph.cycle))
        shown = " -> ".join(graph.cycle[:12]) + (" -> ..." if len(graph.cycle) > 12 else "")
        yield Problem(f"steps.{first}.needs", f"steps need each other in a circle: {shown}", "remove one need")


def _step(step: Step, known: Known, names: Sequence[str], graph: PlanGraph) -> Iterator[Problem]:
    path = f"steps.{shorten(step.name)}"
    yield from step_work(step, path, known)
    if step.foreach is None and step.key is not None:
        yield Problem(f"{path}.key", "key has no meaning without foreach", "remove it, or add foreach")
    if step.foreach is None and step.max_parallel is not None:
        yield Problem(f"{path}.max_parallel", "max_parallel has no meaning without foreach", "remove it")
    if step.model is not None:
        yield from _model(f"{path}.model", step.model)
    if step.retry is not None:
        yield from _retry(f"{path}.retry", step.retry)
    if step.repeat is not None:
        yield from _positive(f"{path}.repeat", max=step.repeat.max)
    yield from _positive(path, max_tokens=step.max_tokens, max_parallel=step.max_parallel, timeout=step.timeout_ms)
    if step.budget is not None and step.budget.time_ms is not None:
        yield Problem(
            f"{path}.budget.time", "only the whole plan's time is limited", "use timeout for the step's calls"
        )
    yield from _step_merge(step, path, names, graph, known)


def _step_merge(step: Step, path: str, names: Sequence[str], graph: PlanGraph, known: Known) -> Iterator[Problem]:
    if step.merge.kind == "older":
        yield Problem(f"{path}.merge", "older is for bases only", "write fail, {prefer: STEP} or {agent: NAME}")
    if step.merge.kind == "agent":
        yield from named_agent(f"{path}.merge.agent", step.merge.agent or "", known)
    if step.merge.kind != "prefer":
        return
    prefer = step.merge.prefer or ""
    if prefer not in graph:
        yield Problem(f"{path}.merge.prefer", f"there is no step {shorten(prefer)}", did_you_mean(prefer, names))
    elif not graph.is_ancestor(prefer, step.name):
        yield Problem(f"{path}.merge.prefer", f"{step.name} does not need {prefer}", f"add {prefer} to needs")


def _model(path: str, model: str) -> Iterator[Problem]:
    provider, colon, _ = model.partition(":")
    if not colon or not valid_name(provider):
        yield Problem(
            path, f"{shorten(model)} does not name a model", "write provider:model, such as mock: or openai:gpt-5"
        )


def _retry(path: str, retry: Retry) -> Iterator[Problem]:
    yield from _positive(path, attempts=retry.attempts, tries=retry.tries)
    if retry.backoff_ms < 0:
        yield Problem(f"{path}.backoff", "a backoff is never negative", "write a duration such as 2s")


def _positive(path: str, **amounts: int | None) -> Iterator[Problem]:
    for key, amount in amounts.items():
        if amount is not None and amount < 1:
            yield Problem(f"{path}.{key}", f"{amount} is too small", "write at least 1")
