"""What a step that has begun does at this moment, in a word, where the state says `running` of all; who rests."""

from __future__ import annotations

from collections.abc import Mapping

from tenuto.core.state import ExecutionState, StepState
from tenuto.runtime.pacing import ProviderRests

__all__ = ["SIGNS", "calls_by_step", "doing", "resting_line"]

SIGNS = {
    "completed": "✓",
    "reused": "↺",
    "failed": "✗",
    "skipped": "–",
    "cancelled": "⊘",
    "running": "●",
    "expanded": "●",
    "merging": "●",
    "backoff": "◌",
    "ready": "○",
    "waiting": "○",
    "queued": "○",
    "in doubt": "?",
    "asks a person": "?",
    "interrupted": "◌",
    "stopped": "◌",
    "waits for budget": "◌",
}
"""The sign of every status, and of every word that `doing` gives."""


def calls_by_step(state: ExecutionState) -> dict[str, set[str]]:
    """How the calls of every step stand that has any."""
    found: dict[str, set[str]] = {}
    for call in state.calls.values():
        found.setdefault(call.path, set()).add(call.status)
    return found


def doing(step: StepState, calls: Mapping[str, set[str]], *, driven: bool) -> str:
    """The status of a step, of a running one what it waits for; `reused` where it took another run's result.

    `driven`: an engine is at work on the run.
    """
    if step.reused is not None:
        return "reused"
    if step.status not in ("running", "merging"):
        return step.status
    own = calls.get(step.path, set())
    if driven and (not own or own & {"open", "lost"}):
        return step.status
    for status, word in (("doubt", "in doubt"), ("asked", "asks a person"), ("parked", "waits for budget")):
        if status in own:
            return word
    if not driven:
        return "interrupted" if own & {"open", "lost"} else "stopped"
    return "backoff" if "backoff" in own else "queued"


def resting_line(resting: ProviderRests) -> str:
    """A provider that is let rest, and for how long."""
    seconds = resting.pause_ms / 1_000
    return f"{resting.provider}: {resting.failures} failures in a row, asked again in {seconds:.0f} s"
