"""How a step ends, or an attempt of it: completed, failed, skipped, or once more."""

from __future__ import annotations

from tenuto.core.attempts import tries_again
from tenuto.core.commands import Command, Conclude, MergeTrees
from tenuto.core.content import Content
from tenuto.core.events.call import MergeRequested
from tenuto.core.events.step import (
    AttemptFailed,
    Failure,
    StepCompleted,
    StepFailed,
    StepSkipped,
)
from tenuto.core.ids import (
    MERGED_WHOLE,
    Digest,
    StepPath,
    position,
)
from tenuto.core.joins import widened_tree
from tenuto.core.merging import MergePlan
from tenuto.core.results import leaf
from tenuto.core.state import (
    ExecutionState,
    StepState,
)

__all__ = ["completed", "conclude", "failed", "given_tree", "skipped"]


def conclude(state: ExecutionState, step: StepState, output: Content | None, failure: Failure | None) -> Command:
    if output is not None:
        return completed(state, step, output)
    if failure is None:
        raise AssertionError(f"{step.path} has a verdict that says nothing")
    if tries_again(state, step, failure):
        return Conclude(AttemptFailed(attempt=step.attempt, error=failure, path=step.path))
    return failed(state, step, failure, given_tree(state, step))


def completed(state: ExecutionState, step: StepState, output: Content) -> Command:
    tree = step.out_tree or state.start_tree(step)
    if step.whole is not None and not step.widened:
        whole = widened_tree(state, step)
        if isinstance(whole, MergePlan):
            return MergeTrees(MergeRequested(call=position(step.path, 0, MERGED_WHOLE), plan=whole))
        tree = whole
    named = output.named().digest
    made = leaf(state, step, status="completed", output=named, tree=tree, error=None)
    return Conclude(StepCompleted(leaf=made, output=named, path=step.path, tree=tree))


def failed(state: ExecutionState, step: StepState, error: Failure, tree: Digest) -> Command:
    tree = step.whole or tree
    made = leaf(state, step, status="failed", output=None, tree=tree, error=f"{error.kind}: {error.message}")
    return Conclude(StepFailed(error=error, leaf=made, path=step.path, tree=tree))


def skipped(state: ExecutionState, step: StepState, because: StepPath, tree: Digest) -> Command:
    error = "its condition is false" if because == step.path else f"skipped because of {because}"
    made = leaf(state, step, status="skipped", output=None, tree=tree, error=error)
    return Conclude(StepSkipped(because=because, leaf=made, path=step.path, tree=tree))


def given_tree(state: ExecutionState, step: StepState) -> Digest:
    """The tree that a step was given."""
    return step.tree or state.start_tree(step)
