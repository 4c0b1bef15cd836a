"""The last lines of a run: how it ended, what it cost, and what can be done next."""

from __future__ import annotations

from shlex import quote

import msgspec

from tenuto.app.nouns import counted
from tenuto.cli.amounts import NAMES, shown_amount, shown_spending, shown_when
from tenuto.core.budget import NOTHING, Amount, add, shortfall
from tenuto.core.ids import StepPath
from tenuto.core.people import question_of
from tenuto.core.problems import shorten
from tenuto.core.report import budget_report, executed_steps, reused_steps, status_of
from tenuto.core.state import ExecutionState

__all__ = ["closing_lines", "failed_step", "next_commands", "questions"]


WAITING_SHOWN = 6
"""Calls that are shown of those that wait for a person."""


def closing_lines(state: ExecutionState, flag: str) -> list[str]:
    """For people. `flag` is ` --store DIR` where the commands need it."""
    status = status_of(state)
    report = budget_report(state)
    spent = shown_spending(report["spent"])
    lines = [f"{status}: {state.run}" + (f" ({spent})" if spent else "")]
    if state.parent is not None:
        executed, reused = len(executed_steps(state)), len(reused_steps(state))
        lines.append(f"  fork of {state.parent}: {counted(executed, 'step')} executed, {reused} reused")
    if status == "exhausted":
        lines += [f"  {line}" for line in _used_up(state)]
    elif state.why:
        lines.append(f"  {state.why}")
    if status in ("waiting", "paused"):
        lines += [f"  {line}" for line in questions(state)]
    doubtful = len(report["in_doubt"])
    if doubtful:
        is_in_doubt = (
            "call is in doubt: its hold counts" if doubtful == 1 else "calls are in doubt: their holds count"
        )
        lines.append(f"  {doubtful} {is_in_doubt} as spent")
    return lines + [f"  {command}" for command in next_commands(state, flag)]


def questions(state: ExecutionState) -> list[str]:
    """What people are asked, with what they are shown."""
    lines: list[str] = []
    for call in sorted((c for c in state.calls.values() if c.status == "asked"), key=lambda c: c.order)[
        :WAITING_SHOWN
    ]:
        asked = question_of(state, call)
        until = "" if call.due_us is None else f", until {shown_when(call.due_us)}"
        lines.append(f"{call.position} asks{until}: {str(asked.question.value).strip()}")
        if asked.details is not None:
            lines.append(f"  with {shorten(asked.details.data.decode())}")
    return lines


def next_commands(state: ExecutionState, flag: str) -> list[str]:
    """What makes sense now, the likeliest first."""
    run = state.run
    match status_of(state):
        case "ok":
            found = [f"tenuto apply {run}{flag}"] if _changed_files(state) else []
            return [*found, f"tenuto show {run}{flag}", f"tenuto replay {run}{flag}"]
        case "waiting":
            return _answers(state, flag)
        case "exhausted":
            missing = _missing(state)
            if not missing:
                return [f"tenuto show {run}{flag}", f"tenuto budget {run}{flag}"]
            more = "".join(f" --add-budget {amount}" for amount in missing)
            return [f"tenuto resume {run}{more}{flag}", f"tenuto budget {run}{flag}"]
        case "paused":
            return [*_answers(state, flag), f"tenuto resume {run}{flag}"]
        case "running":
            return [f"tenuto resume {run}{flag}"]
        case _:
            failed = failed_step(state)
            closer = [] if failed is None else [f"tenuto show {run} {quote(failed)}{flag}"]
            return [f"tenuto show {run}{flag}", *closer]


def failed_step(state: ExecutionState) -> StepPath | None:
    """The first step in plan order that has failed, below others that failed with it; None where none has."""
    failed = sorted((s for s in state.steps.values() if s.status == "failed"), key=lambda s: s.order)
    for step in failed:
        if not any(other.path.startswith((f"{step.path}[", f"{step.path}#", f"{step.path}/")) for other in failed):
            return step.path
    return None


def _answers(state: ExecutionState, flag: str) -> list[str]:
    """What answers the calls that wait for a person. Where the time for all is over, only to go on is left."""
    waiting = sorted((c for c in state.calls.values() if c.asks_person), key=lambda c: c.order)
    return [
        f"tenuto approve {state.run} {call.position}{flag}   # or reject"
        if call.status == "asked"
        else f"tenuto resolve {state.run} {call.position} --done{flag}   # or --not-done"
        for call in waiting[:WAITING_SHOWN]
    ]


def _changed_files(state: ExecutionState) -> bool:
    """Whether the run ended with another tree than the one it began with, which its first steps were given."""
    given = {state.steps[StepPath(step.name)].tree for step in state.spec.plan.steps if not step.needs}
    return any(tree is not None and tree != state.tree for tree in given)


def _used_up(state: ExecutionState) -> list[str]:
    """What is used up, as people say it: `model_calls: 3 of 3 spent`."""
    report = budget_report(state)
    lacking = ["time_ms"] if state.why == "time" else [d for d, amount in _lacking(state).items() if amount]
    if not lacking:
        return _capped(state)
    return [
        f"{NAMES[d]}: {shown_amount(d, report['spent'].get(d, 0))} of {shown_amount(d, report['limit'][d])} spent"
        for d in lacking
        if d in report["limit"]
    ]


def _capped(state: ExecutionState) -> list[str]:
    """The calls that a cap inside the plan does not pay: a step's declared budget, or its agent's limits."""
    parked = sorted((call for call in state.calls.values() if call.status == "parked"), key=lambda call: call.order)
    if not parked:
        return []
    first = parked[0]
    limited = state.spec.plan.budget.limited
    short = shortfall(first.need, state.account(first.account).free, limited)
    shown = [d for d in limited if getattr(short, d)] or list(NAMES)
    amounts = msgspec.to_builtins(first.need).items()
    needs = [f"{NAMES[d]}: {shown_amount(d, n)}" for d, n in amounts if n and d in shown]
    others = f" (and {len(parked) - 1} more)" if len(parked) > 1 else ""
    return [
        f"{first.position}{others} needs {', '.join(needs)}, which the budget of its step or the limits of its agent "
        "do not leave; these are caps: raise them in the plan, and run it again"
    ]


def _missing(state: ExecutionState) -> list[str]:
    """What the parked calls lack, as `--add-budget` takes it; nothing for what the run does not limit."""
    if state.why == "time":
        return ["time=10m"]
    found = []
    for dimension, lacking in _lacking(state).items():
        if lacking and dimension == "usd_micros":
            found.append(f"usd={-(-lacking // 10_000) / 100:.2f}")
        elif lacking:
            found.append(f"{dimension}={lacking}")
    return found


def _lacking(state: ExecutionState) -> dict[str, int]:
    """By limited dimension, what the accounts of the parked calls lack to pay them."""
    needs: dict[str, Amount] = {}
    for call in state.calls.values():
        if call.status == "parked":
            needs[call.account] = add(needs.get(call.account, NOTHING), call.need)
    limited = state.spec.plan.budget.limited
    short = [shortfall(need, state.account(name).free, limited) for name, need in needs.items()]
    lacking = {d: sum(getattr(amount, d) for amount in short) for d in limited}
    # What the run has left would have been given to them, where nothing but the run's limit were in the way.
    report = budget_report(state)
    left = {d: report["limit"][d] - report["spent"].get(d, 0) - report["reserved"].get(d, 0) for d in limited}
    return lacking if any(lacking[d] > left[d] for d in limited) else dict.fromkeys(limited, 0)
