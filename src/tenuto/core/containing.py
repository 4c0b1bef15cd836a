"""Steps that have steps below them: children of a `foreach`, iterations of a `repeat`, the steps of a sub-plan."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core.budget import DIMENSIONS, Amount
from tenuto.core.cancelling import cancel_step
from tenuto.core.canonical import digest
from tenuto.core.commands import Command, Conclude, MergeTrees
from tenuto.core.containers import last_iteration, outcome_of
from tenuto.core.content import Content
from tenuto.core.ending import completed, failed, given_tree
from tenuto.core.events.call import MergeRequested
from tenuto.core.events.step import (
    Failure,
    StepExpanded,
)
from tenuto.core.ids import (
    MERGED_BELOW,
    Digest,
    StepPath,
    child_path,
    encode_key,
    iteration_path,
    member_path,
    position,
)
from tenuto.core.joins import below_tree
from tenuto.core.ledger import split
from tenuto.core.merging import MergePlan
from tenuto.core.scope import foreach_items, plan_scope, until_scope
from tenuto.core.starting import start_attempt
from tenuto.core.state import (
    ExecutionState,
    Expansion,
    Loop,
    StepState,
)
from tenuto.core.step_moves import unwanted_child, unwanted_member

__all__ = ["expand", "go_on_expanded", "go_on_loop", "go_on_sub_plan", "iterate"]


def expand(state: ExecutionState, step: StepState, tree: Digest) -> Command:
    spec = state.compiled(step)
    items = foreach_items(state, step)
    if spec.key is None:
        keys = tuple(str(i) for i in range(len(items)))
    else:
        scope = plan_scope(state, step.block)
        keys = tuple(
            encode_key(spec.key.render({**scope, "item": Content(Digest(""), 0, item).value})) for item in items
        )
        if len(set(keys)) < len(keys):
            twice = next(k for i, k in enumerate(keys) if k in keys[:i])
            raise ValueError(f"key: two items have the key {twice!r}; use a key that tells them apart")
    share = None
    if state.spec.limited and items:
        parts = split(state.account(step.account).free, len(items))
        run = state.spec_of(step)
        share = Amount(**{d: min(getattr(parts, d), run.item_cap(spec.index, d)) for d in DIMENSIONS})
    return Conclude(
        StepExpanded(
            items=digest(b"[" + b",".join(bytes(i) for i in items) + b"]"),
            keys=keys,
            path=step.path,
            share=share,
            tree=tree,
        )
    )


def go_on_expanded(state: ExecutionState, step: StepState, expansion: Expansion) -> Command:
    spec = state.compiled(step)
    failing = expansion.failing
    unwanted = unwanted_child(state, step)
    if unwanted is not None:
        return cancel_step(state, unwanted)
    width = spec.step.max_parallel or len(expansion.keys)
    if failing is None and expansion.next_child < len(expansion.keys) and expansion.running < width:
        return _start_child(state, step, expansion)
    if expansion.running:
        raise AssertionError(f"{step.path} is due but its children run")
    start = given_tree(state, step)
    if failing is not None:
        return _failed_child(state, step, child_path(step.path, expansion.keys[failing]), start)
    return _join(state, step)


def _start_child(state: ExecutionState, step: StepState, expansion: Expansion) -> Command:
    index = expansion.next_child
    path = child_path(step.path, expansion.keys[index])
    return _begin_child(state, _child(step, path, index, account=path), given_tree(state, step))


def _child(step: StepState, path: StepPath, index: int, *, account: str) -> StepState:
    """A child that is not known yet, to see what it would be."""
    return StepState(
        account=account,
        block=step.block,
        child_index=index,
        name=step.name,
        order=(*step.order, index),
        parent=step.path,
        path=path,
    )


def _begin_child(state: ExecutionState, child: StepState, tree: Digest) -> Command:
    """Start an item's child, or its first iteration where it repeats."""
    parent = state.steps.get(child.parent or child.path)
    repeats = state.compiled(child).step.repeat is not None and parent is not None and parent.expansion is not None
    try:
        if repeats:
            state = replace(state, steps=state.steps.set(child.path, child))
            return iterate(state, child, 1, tree)
        return start_attempt(state, child, tree)
    except ValueError as error:
        return failed(state, child, Failure(kind="expression", message=str(error)), tree)


def iterate(state: ExecutionState, step: StepState, number: int, tree: Digest) -> Command:
    path = iteration_path(step.path, number)
    if step.loop is None:
        step = replace(step, loop=Loop())
    state = replace(state, steps=state.steps.set(step.path, step))
    return _begin_child(state, _child(step, path, number, account=step.account), tree)


def go_on_loop(state: ExecutionState, step: StepState) -> Command:
    """The last iteration has ended: is it done, is there another, or was that the last?"""
    compiled = state.compiled(step)
    repeat, last = compiled.step.repeat, last_iteration(state, step)
    if repeat is None or step.loop is None:
        raise AssertionError(f"{step.path} does not repeat")
    start = given_tree(state, step)
    if last.status == "failed" and compiled.on_error == "fail":
        return _failed_child(state, step, last.path, start)
    number = step.loop.begun
    if compiled.until is not None:
        try:
            done = compiled.until.evaluate(until_scope(state, step, number))
        except ValueError as error:
            return failed(state, step, Failure(kind="expression", message=f"until: {error}"), start)
        if not done and number >= repeat.max:
            message = f"until is still false after {number} iteration{'' if number == 1 else 's'}"
            return failed(state, step, Failure(kind="repeat", message=message), start)
    else:
        done = number >= repeat.max
    return _join(state, step) if done else iterate(state, step, number + 1, last.out_tree or start)


def go_on_sub_plan(state: ExecutionState, step: StepState) -> Command:
    unwanted = unwanted_member(state, step.path)
    if unwanted is not None:
        return cancel_step(state, unwanted)
    block = state.blocks[step.path]
    if block.unfinished:
        raise AssertionError(f"{step.path} is due but its steps run")
    if block.failing is not None:
        name = state.block_spec(step.path).plan.steps[block.failing[-1]].name
        return _failed_child(state, step, member_path(step.path, name), given_tree(state, step))
    return _join(state, step)


def _failed_child(state: ExecutionState, step: StepState, path: StepPath, tree: Digest) -> Command:
    child = state.steps[path]
    why = child.error.message if child.error is not None else "failed"
    return failed(state, step, Failure(kind="child", message=f"{child.path}: {why}"), tree)


def _join(state: ExecutionState, step: StepState) -> Command:
    """All steps below this one have ended: their trees are merged, then it has its output."""
    tree = step.out_tree if step.widened else step.joined
    if tree is None:
        below = below_tree(state, step)
        if isinstance(below, MergePlan):
            return MergeTrees(MergeRequested(call=position(step.path, 0, MERGED_BELOW), plan=below))
        tree = below
    try:
        output = outcome_of(state, step)
    except ValueError as error:
        return failed(state, step, Failure(kind="expression", message=f"outputs: {error}"), given_tree(state, step))
    return completed(state, replace(step, out_tree=tree), output)
