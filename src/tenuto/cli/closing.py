"""The last lines of a run: how it ended, what it cost, and what can be done next."""

from __future__ import annotations

from tenuto.cli.amounts import shown_spending
from tenuto.core.ids import StepPath
from tenuto.core.report import budget_report, status_of
from tenuto.core.state import ExecutionState

__all__ = ["closing_lines", "next_commands"]


def closing_lines(state: ExecutionState, flag: str) -> list[str]:
    """For people. `flag` is ` --store DIR` where the commands need it."""
    status = status_of(state)
    report = budget_report(state)
    spent = shown_spending(report["spent"])
    lines = [f"{status}: {state.run}" + (f" ({spent})" if spent else "")]
    if state.why:
        lines.append(f"  {state.why}")
    if report["in_doubt"]:
        lines.append(f"  {len(report['in_doubt'])} calls are in doubt: their holds count as spent")
    return lines + [f"  {command}" for command in next_commands(state, flag)]


def next_commands(state: ExecutionState, flag: str) -> list[str]:
    """What makes sense now, the likeliest first."""
    run = state.run
    match status_of(state):
        case "ok":
            found = [f"tenuto apply {run}{flag}"] if _changed_files(state) else []
            return [*found, f"tenuto show {run}{flag}", f"tenuto replay {run}{flag}"]
        case "waiting":
            calls = sorted(c.position for c in state.calls.values() if c.status == "doubt")
            return [f"tenuto resolve {run} {calls[0]} --done{flag}   # or --not-done"] if calls else []
        case "exhausted":
            more = "".join(f" --add-budget {amount}" for amount in _missing(state))
            return [f"tenuto resume {run}{more}{flag}", f"tenuto budget {run}{flag}"]
        case "running":
            return [f"tenuto resume {run}{flag}"]
        case _:
            return [f"tenuto show {run}{flag}"]


def _changed_files(state: ExecutionState) -> bool:
    """Whether the run ended with another tree than the one it began with, which its first steps were given."""
    given = {state.steps[StepPath(step.name)].tree for step in state.spec.plan.steps if not step.needs}
    return any(tree is not None and tree != state.tree for tree in given)


def _missing(state: ExecutionState) -> list[str]:
    """What the parked calls lack of every limited dimension, as `--add-budget` takes it."""
    if state.why == "time":
        return ["time=10m"]
    parked = [call for call in state.calls.values() if call.status == "parked"]
    found = []
    for dimension in state.spec.plan.budget.limited:
        need = sum(getattr(call.need, dimension) for call in parked)
        limit = getattr(state.spec.plan.budget, dimension) + getattr(state.limits_added, dimension)
        lacking = need - (limit - getattr(state.spent, dimension))
        if lacking > 0 and dimension == "usd_micros":
            found.append(f"usd={-(-lacking // 10_000) / 100:.2f}")
        elif lacking > 0:
            found.append(f"{dimension}={lacking}")
    return found
