"""The report of a run: a projection of its state, in the shape of the machine interface (design 11)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tenuto.core.budget import DIMENSIONS, Amount, add
from tenuto.core.decide import waits_for_people
from tenuto.core.events.step import Failure, Source
from tenuto.core.ids import Digest, StepPath
from tenuto.core.models import Grade, ModelConfig, ModelProfile
from tenuto.core.state import ExecutionState, StepState
from tenuto.core.work import work_of
from tenuto.errors import ExitCode

__all__ = [
    "StepResult",
    "budget_report",
    "executed_steps",
    "exit_code",
    "grade",
    "is_container",
    "report",
    "reused_steps",
    "status_of",
    "step_result",
    "worst_grade",
]

_WORST: tuple[Grade, ...] = ("exact", "pinned", "best effort", "opaque")


def status_of(state: ExecutionState) -> str:
    """`running`, `waiting` (for a person), `paused`, `exhausted`, `ok`, `failed` or `cancelled`."""
    if state.status == "running" and waits_for_people(state):
        return "waiting"
    return "running" if state.status in ("new", "cancelling") else state.status


def exit_code(state: ExecutionState) -> ExitCode:
    match status_of(state):
        case "ok":
            return ExitCode.OK
        case "waiting" | "paused":
            return ExitCode.WAITING
        case "exhausted":
            return ExitCode.EXHAUSTED
        case _:
            return ExitCode.FAILED


def grade(state: ExecutionState) -> Grade:
    """How far a re-run with equal seed can be expected to agree: the worst grade of the models of the plan."""
    return worst_grade(state.spec.lock.profiles.values())


def worst_grade(profiles: Iterable[ModelProfile]) -> Grade:
    """The grade of what uses all of these models; exact where there are none."""
    return _WORST[max((_WORST.index(profile.grade) for profile in profiles), default=0)]


def report(state: ExecutionState) -> dict[str, Any]:
    """The whole report. JSON values only."""
    return {
        "run": state.run,
        "status": status_of(state),
        "exit": int(exit_code(state)),
        "result_digest": state.result,
        "journal_digest": state.head,
        "tree_digest": state.tree if state.ended else None,
        "outputs": None if state.outputs is None else state.outputs.value,
        "error": state.why or None,
        "grade": grade(state),
        "budget": budget_report(state),
        "waiting_for": sorted(c.position for c in state.calls.values() if c.asks_person),
        "parent": state.parent,
        "root": state.root,
        "executed": executed_steps(state),
        "reused": reused_steps(state),
        "steps": [
            msgspec.to_builtins(step_result(state, step))
            for step in sorted(state.steps.values(), key=lambda s: s.order)
        ],
    }


def executed_steps(state: ExecutionState) -> list[StepPath]:
    """The steps with work of their own that this run has begun to do itself, in plan order."""
    begun = (step for step in state.steps.values() if step.attempt and step.reused is None)
    return [step.path for step in sorted(begun, key=lambda s: s.order) if not is_container(state, step)]


def reused_steps(state: ExecutionState) -> list[StepPath]:
    """The steps that took the recorded result of another run, in plan order."""
    return [s.path for s in sorted(state.steps.values(), key=lambda s: s.order) if s.reused is not None]


def is_container(state: ExecutionState, step: StepState) -> bool:
    """Whether a step has no work of its own: other steps do it."""
    return step.expansion is not None or step.loop is not None or step.path in state.blocks


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run knows of one step: how it stands, what it gave, and what made it.

    `calls` counts positions, not tries: of a step that is `reused`, those that were made where it was executed, which
    is what `source` names.
    """

    path: StepPath
    status: str
    agent: str | None
    attempts: int
    step_key: Digest | None
    output_digest: Digest | None
    tree_digest: Digest | None
    reused: bool
    calls: int
    error: Failure | None
    model_config: ModelConfig | None
    spent: Amount | None
    source: Source | None = None


def step_result(state: ExecutionState, step: StepState) -> StepResult:
    """The result of one step as the state knows it now."""
    account = state.accounts.get(step.account)
    return StepResult(
        path=step.path,
        status=step.status,
        agent=_agent_name(state, step),
        attempts=step.attempt,
        step_key=step.key,
        output_digest=None if step.output is None else step.output.digest,
        tree_digest=step.out_tree,
        reused=step.reused is not None,
        calls=len(step.fingerprints),
        error=step.error,
        model_config=step.model_config,
        spent=None if account is None else account.spent,
        source=step.reused,
    )


def _agent_name(state: ExecutionState, step: StepState) -> str | None:
    asked = getattr(step.asked, "agent", None)
    if asked is not None:
        return str(asked)
    agent = work_of(state, step).agent
    return None if agent is None else agent.agent


def budget_report(state: ExecutionState) -> dict[str, Any]:
    """Limit, reserved and spent by dimension; `in_doubt` lists the holds that were kept."""
    held = Amount()
    for call in state.calls.values():
        if call.status == "open":
            held = add(held, call.hold)
    limits = state.spec.plan.budget
    limit: dict[str, int] = {}
    for dimension in DIMENSIONS:
        value = getattr(limits, dimension)
        if value is not None:
            limit[dimension] = value + getattr(state.limits_added, dimension)
    if state.time_limit_us is not None:
        limit["time_ms"] = state.time_limit_us // 1000
    return {
        "limit": limit,
        "reserved": msgspec.to_builtins(held),
        "spent": {**msgspec.to_builtins(state.spent), "time_ms": state.active_us // 1000},
        "in_doubt": [{"call": d.call, "try": d.try_number, **msgspec.to_builtins(d.amount)} for d in state.doubtful],
    }
