"""Who may spend what by the plan alone: the accounts that steps begin with, and what they may have at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tenuto.core.budget import DIMENSIONS, NOTHING, Amount, Limits
from tenuto.core.events.program import AskAgent
from tenuto.core.plan import ApprovalWork, Plan, PlanWork, PromptWork, Registry, RunWork, Step, UsesWork, WaitWork

__all__ = ["PLENTY", "ask_cap", "divided", "item_cap", "limited_dimensions", "step_cap"]

PLENTY = 2**53 - 1
"""Granted where a dimension has no limit."""


def divided(plan: Plan, registry: Registry, limits: Mapping[str, int | None], logic: int) -> tuple[Amount, ...]:
    """The account of each step of a plan: its declared budget, or an equal share of what is left of the limits.

    Shares go only to steps that can spend the dimension; what cannot be divided stays with the whole. In a dimension
    without a limit those that declare none have `PLENTY`.
    """
    shares: list[dict[str, int]] = [{} for _ in plan.steps]
    for dimension, limit in limits.items():
        spenders = [i for i, step in enumerate(plan.steps) if _can_spend(step, registry, dimension)]
        declared = {i: _limit(plan.steps[i].budget, dimension) for i in spenders}
        left = PLENTY if limit is None else limit
        for i, amount in declared.items():
            if amount is not None:
                # Logic 1 forgot the agent's own limits where a budget was declared.
                most = amount if logic < 2 else step_cap(plan.steps[i], registry, dimension, logic)
                shares[i][dimension] = min(most, left)
                left -= 0 if limit is None else shares[i][dimension]
        undeclared = [i for i, amount in declared.items() if amount is None]
        for i in undeclared:
            share = left if limit is None else left // len(undeclared)
            shares[i][dimension] = min(share, step_cap(plan.steps[i], registry, dimension, logic))
    return tuple(Amount(**share) if share else NOTHING for share in shares)


def step_cap(step: Step, registry: Registry, dimension: str, logic: int) -> int:
    """What a step with all its items may have at most, whatever others leave over: its declared budget and, where it
    is no `foreach`, what `_work_cap` says."""
    own = _limit(step.budget, dimension)
    # Logic 1 held what an agent may spend in a step against all items of a `foreach` together.
    work = _work_cap(step, registry, dimension) if step.foreach is None or logic < 2 else PLENTY
    return work if own is None else min(own, work)


def item_cap(step: Step, registry: Registry, dimension: str, logic: int) -> int:
    """What each item of a `foreach` may have at most: it is a step of its own."""
    return PLENTY if logic < 2 else _work_cap(step, registry, dimension)


def _work_cap(step: Step, registry: Registry, dimension: str) -> int:
    """What the limits of a step's agent, or of the sub-plan that its file names, leave to one step."""
    limit: int | None = None
    if isinstance(step.work, PromptWork) and step.work.agent is not None:
        limit = _limit(registry.agents[step.work.agent].limits, dimension)
    elif isinstance(step.work, PlanWork) and step.work.plan is not None:
        limit = _limit(step.work.plan.budget, dimension)
    return PLENTY if limit is None else limit


def ask_cap(ask: AskAgent, registry: Registry, dimension: str) -> int:
    """What an asked agent may have at most: what was asked for it, its own limits."""
    caps = (_limit(ask.budget, dimension), _limit(registry.agents[ask.agent].limits, dimension))
    return min((c for c in caps if c is not None), default=PLENTY)


def limited_dimensions(plan: Plan, registry: Registry) -> tuple[str, ...]:
    """The dimensions that accounts keep, in the order of `DIMENSIONS`."""
    limited = {d for agent in registry.agents.values() for d in agent.limits.limited} | set(_limited_in(plan))
    return tuple(d for d in DIMENSIONS if d in limited)


def _limited_in(plan: Plan) -> Iterator[str]:
    """The dimensions that a plan, its steps and its sub-plans limit. One that is not known yet may limit any."""
    yield from plan.budget.limited
    for step in plan.steps:
        if step.budget is not None:
            yield from step.budget.limited
        if isinstance(step.work, PlanWork):
            yield from DIMENSIONS if step.work.plan is None else _limited_in(step.work.plan)


def _can_spend(step: Step, registry: Registry, dimension: str) -> bool:
    work = step.work
    if step.merge.agent is not None:
        return True
    match work:
        case UsesWork():
            return True
        case ApprovalWork() | WaitWork():
            return False
        case PlanWork(plan=plan):
            return plan is None or any(_can_spend(inner, registry, dimension) for inner in plan.steps)
        case RunWork():
            return dimension == "tool_calls"
        case PromptWork(agent=name):
            return dimension != "tool_calls" or _has_tools(step, registry, name)


def _has_tools(step: Step, registry: Registry, name: str | None) -> bool:
    """Whether the step's agent, or one that may take over from it, has tools."""
    first = registry.agents.get(name) if name else None
    others = step.fallback or (first.fallbacks if first else ())
    return any(agent is not None and agent.tools for agent in (first, *map(registry.agents.get, others)))


def _limit(limits: Limits | None, dimension: str) -> int | None:
    return None if limits is None else getattr(limits, dimension)
