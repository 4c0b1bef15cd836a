"""Conflicts that an agent settles: a child step of the join, which works in a tree that holds conflict markers.

MergeRequested j/0/0 -> TreesMerged {conflicts, marked} -> StepStarted j/0/0/1 (the agent) -> ... -> StepCompleted
-> MergeRequested j/0/4 {settled} -> TreesMerged {tree}, or the files that still hold markers
"""

from __future__ import annotations

from tenuto.core.content import Content
from tenuto.core.events.program import AskAgent
from tenuto.core.ids import MERGED_BELOW, MERGED_NEEDS, Position, position
from tenuto.core.merging import MergedTree
from tenuto.core.state import ExecutionState, StepState

__all__ = ["settle_ask", "settle_position", "waits_for_agent"]

_FILES_SHOWN = 50


def waits_for_agent(state: ExecutionState, step: StepState, ordinal: str, merged: MergedTree) -> bool:
    """Whether the conflicts of a merge go to the agent that the step names for them."""
    policy = state.compiled(step).step.merge
    return merged.marked is not None and policy.kind == "agent" and ordinal in (MERGED_NEEDS, MERGED_BELOW)


def settle_position(step: StepState) -> Position:
    """The merge whose conflicts the agent settles: the path of its child step too."""
    return position(step.path, 0, MERGED_NEEDS if step.expansion is None else MERGED_BELOW)


def settle_ask(state: ExecutionState, step: StepState) -> AskAgent:
    """What the agent is asked, from the state alone."""
    settling = step.settling
    agent = state.compiled(step).step.merge.agent
    if settling is None or agent is None:
        raise AssertionError(f"{step.path} has nothing to settle")
    open_conflicts = [c for c in settling.conflicts if c.taken is None]
    lines = [f"- {c.path} ({c.reason}: {' and '.join(c.steps)})" for c in open_conflicts[:_FILES_SHOWN]]
    if len(open_conflicts) > _FILES_SHOWN:
        lines.append(f"- and {len(open_conflicts) - _FILES_SHOWN} more, which a search for <<<<<<< finds")
    files = "\n".join(lines)
    task = (
        "Several steps changed the same files in ways that cannot both hold:\n"
        f"{files}\n"
        "The files hold conflict markers as git writes them, labelled by the steps. Edit each file so that it keeps "
        "what every side meant, and remove all markers. Then say in one sentence what you did."
    )
    return AskAgent(agent=agent, ordinal=settle_position(step).rpartition("/")[2], task=Content.of(task))
