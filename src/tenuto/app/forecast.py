"""The worst case of a plan, before it runs: calls, tokens and money at most, by step and in all.

A bound is what the ledger would hold (`core.ledger`), times how often it could. None means that nothing bounds it: a
prompt of unknown length for a model of unknown context, a program, a `foreach` of unknown width.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tenuto.core.agent_work import AgentWork
from tenuto.core.budget import Amount, Limits
from tenuto.core.canonical import parse
from tenuto.core.frames import CORRECTIONS_MAX
from tenuto.core.ledger import model_hold
from tenuto.core.models import Message
from tenuto.core.plan import PlanWork, PromptWork, RunWork, UsesWork
from tenuto.core.shares import PLENTY
from tenuto.core.spec import RunSpec, StepSpec

__all__ = ["DIMENSIONS", "Bound", "Forecast", "StepForecast", "forecast"]

DIMENSIONS = ("model_calls", "tool_calls", "output_tokens", "tokens", "usd_micros")
"""What is forecast."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """At most so much of each dimension; None where there is no bound."""

    model_calls: int | None = 0
    tool_calls: int | None = 0
    output_tokens: int | None = 0
    tokens: int | None = 0
    usd_micros: int | None = 0


NOTHING = Bound()


class StepForecast(msgspec.Struct, frozen=True, kw_only=True):
    """The worst case of a step. `each`: of one item of a `foreach`; `limit`: what was declared for the whole step."""

    step: str
    items: int | None
    each: Bound
    limit: Bound
    whole: Bound


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The worst case of a plan. `limit` is its budget."""

    steps: list[StepForecast]
    limit: Bound
    whole: Bound


def forecast(spec: RunSpec) -> Forecast:
    """The worst case of what the plan could spend, retries and fallbacks included."""
    steps = [_step_forecast(spec, step.name) for step in spec.plan.steps]
    whole = NOTHING
    for step in steps:
        whole = _sum(whole, step.whole)
    limit = _of_limits(spec.plan.budget)
    return Forecast(steps=steps, limit=limit, whole=_least(whole, limit))


def _step_forecast(spec: RunSpec, name: str) -> StepForecast:
    compiled = spec.step(name)
    work = compiled.step.work
    if isinstance(work, PromptWork):
        each = _prompt(compiled)
    elif isinstance(work, RunWork):
        each = Bound(tool_calls=compiled.retry.attempts)
    elif isinstance(work, PlanWork):
        each = _unbounded(spec) if work.plan is None else forecast(spec.inner(name)).whole
    else:
        each = _unbounded(spec) if isinstance(work, UsesWork) else NOTHING
    if compiled.step.repeat is not None:
        each = _times(each, compiled.step.repeat.max)
    items = _width(compiled)
    if compiled.foreach is not None:
        each = _least(each, _caps(spec.item_cap, compiled.index))
    limit = _caps(spec.cap, compiled.index)
    whole = _least(_times(each, items), limit)
    return StepForecast(step=name, items=items, each=each, limit=limit, whole=whole)


def _caps(cap: Callable[[int, str], int], index: int) -> Bound:
    caps = {d: cap(index, d) for d in DIMENSIONS}
    return Bound(**{d: None if most >= PLENTY else most for d, most in caps.items()})


def _unbounded(spec: RunSpec) -> Bound:
    """What a program may do: anything, but no money goes where no model has a price."""
    free = all(profile.price is None for profile in spec.lock.profiles.values())
    return Bound(model_calls=None, tool_calls=None, output_tokens=None, tokens=None, usd_micros=0 if free else None)


def _width(compiled: StepSpec) -> int | None:
    """How many items a step has; None where only the run will know."""
    if compiled.foreach is None:
        return 1
    found = parse(compiled.step.foreach) if compiled.foreach.constant and compiled.step.foreach is not None else None
    return len(found) if isinstance(found, list) else None


def _prompt(compiled: StepSpec) -> Bound:
    """All attempts of the step's agent, then of those that take over from it."""
    bound = NOTHING
    for agent in (compiled.agent, *compiled.fallbacks):
        if agent is not None:
            bound = _sum(bound, _times(_attempt(compiled, agent), compiled.retry.attempts))
    return bound


def _attempt(compiled: StepSpec, agent: AgentWork) -> Bound:
    """One attempt: every turn of the agent's loop, each call tried as often as it may be."""
    asked = 1 + (CORRECTIONS_MAX if compiled.output is not None else 0)
    turns = agent.iterations_max if agent.tools else min(agent.iterations_max, asked)
    calls = turns * compiled.retry.tries
    hold = _hold(compiled, agent, alone=turns == 1)
    least = model_hold(agent, 0)
    return Bound(
        model_calls=calls * least.model_calls,
        tool_calls=None if agent.tools else 0,
        output_tokens=calls * least.output_tokens,
        tokens=None if hold is None else calls * hold.tokens,
        usd_micros=0 if agent.profile.price is None else None if hold is None else calls * hold.usd_micros,
    )


def _hold(compiled: StepSpec, agent: AgentWork, *, alone: bool) -> Amount | None:
    """What one call would hold: by its very bytes where they are known, else by all that the model can take."""
    prompt = compiled.prompt
    if alone and prompt is not None and prompt.constant and (compiled.output is None or compiled.output.constant):
        messages = [Message(role="system", text=agent.system)] if agent.system else []
        messages.append(Message(role="user", text=str(prompt.render({}))))
        length = sum(len(msgspec.json.encode(message, order="sorted")) for message in messages)
        schema = compiled.step.output
        return model_hold(agent, length + agent.tools_length + (0 if schema is None else len(bytes(schema))))
    context = agent.profile.context_tokens
    return None if context is None else model_hold(agent, max(0, context - agent.overhead_tokens))


def _of_limits(limits: Limits) -> Bound:
    return Bound(**{dimension: getattr(limits, dimension) for dimension in DIMENSIONS})


def _sum(a: Bound, b: Bound) -> Bound:
    return _each_of(a, b, lambda x, y: None if x is None or y is None else x + y)


def _least(a: Bound, b: Bound) -> Bound:
    return _each_of(a, b, lambda x, y: y if x is None else x if y is None else min(x, y))


def _times(bound: Bound, factor: int | None) -> Bound:
    found: dict[str, int | None] = {}
    for dimension in DIMENSIONS:
        amount = getattr(bound, dimension)
        found[dimension] = 0 if amount == 0 else None if amount is None or factor is None else amount * factor
    return Bound(**found)


def _each_of(a: Bound, b: Bound, join: Callable[[int | None, int | None], int | None]) -> Bound:
    return Bound(**{d: join(getattr(a, d), getattr(b, d)) for d in DIMENSIONS})
