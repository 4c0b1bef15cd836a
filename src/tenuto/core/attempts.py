"""What follows a failed attempt: another one, another agent, or the end of the step."""

from __future__ import annotations

from tenuto.core.events.step import Failure
from tenuto.core.state import ExecutionState, StepState

__all__ = ["agent_used_up", "tries_again"]

_FINAL = frozenset(("child", "expired", "expression", "merge_conflict", "plan", "rejected", "repeat"))
"""Failures that no further attempt can mend, whoever makes it."""
_OF_THE_AGENT = frozenset(("agent", "budget"))
"""Failures that no further attempt of the same agent can mend."""


def tries_again(state: ExecutionState, step: StepState, failure: Failure) -> bool:
    """Whether the step starts again: its agent has attempts left, or another agent takes over."""
    if step.asked is not None or not step.attempt or failure.kind in _FINAL:
        return False
    return not agent_used_up(state, step, failure) or step.route < len(state.compiled(step).fallbacks)


def agent_used_up(state: ExecutionState, step: StepState, failure: Failure) -> bool:
    """Whether the agent that has just failed makes no further attempt."""
    attempts = state.compiled(step).retry.attempts
    return step.attempt - step.routed_at >= attempts or failure.kind in _OF_THE_AGENT
