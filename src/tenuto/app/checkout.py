"""The files of any step of a run, in a directory of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenuto.app.build import Store, open_workspace
from tenuto.app.finding import resolve_run
from tenuto.core.ids import Digest, RunId, StepPath
from tenuto.core.problems import did_you_mean, shorten
from tenuto.core.report import status_of
from tenuto.core.state import ExecutionState
from tenuto.errors import RefusedRequestError, UsageError
from tenuto.runtime.loading import load_state

__all__ = ["END", "CheckedOut", "check_out_run"]

END = "end"
"""What names the end of a run in place of a step: no step has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOut:
    """A tree that was written to `directory`, with the `status` of its step, or of its run (`step` = `end`)."""

    run: RunId
    step: str
    status: str
    directory: Path
    tree: Digest
    files: int


async def check_out_run(store: Store, given: str, step: str | None, directory: Path) -> CheckedOut:
    """Write the tree of a step (None or `end`: of the whole run) to a directory that is empty or missing.

    A step that failed has the tree it started from, one under way what it has by now. UsageError for a step that
    is not there or a directory that is in use; RefusedRequestError where there is no tree yet.
    """
    run = await resolve_run(store.journal, given)
    state = await load_state(store.journal, store.contents, run)
    if step is None and StepPath(str(directory)) in state.steps:
        raise UsageError(
            f"{directory} is a step of the run; name a directory, too",
            fix=f"`tenuto checkout {given} {directory} DIR`, or ./{directory} for a directory of that name",
        )
    status, tree = _end(state) if step in (None, END) else _tree_of(state, StepPath(str(step)))
    workspace = open_workspace(store)
    try:
        files = await workspace.check_out(tree, directory)
    finally:
        await workspace.close()
    return CheckedOut(run=run, step=step or END, status=status, directory=directory, tree=tree, files=files)


def _end(state: ExecutionState) -> tuple[str, Digest]:
    if not state.ended:
        raise RefusedRequestError(
            f"run {state.run} has not ended", fix=f"name a step that has: see `tenuto show {state.run}`"
        )
    return status_of(state), state.tree


def _tree_of(state: ExecutionState, path: StepPath) -> tuple[str, Digest]:
    step = state.steps.get(path)
    if step is None:
        otherwise = f"see `tenuto show {state.run}`"
        raise UsageError(
            f"there is no step {shorten(path)}",
            where=f"run {state.run}",
            fix=did_you_mean(path, state.steps, otherwise),
        )
    tree = step.out_tree or step.tree
    if tree is None:
        raise RefusedRequestError(
            f"step {path} has not begun, so it has no files", fix=f"see `tenuto show {state.run}`"
        )
    return step.status, tree
