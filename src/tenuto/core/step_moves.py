"""Moves of steps that stand in other steps or plans: they begin, end, and those that wait for them are told."""

from __future__ import annotations

from msgspec.structs import replace

from tenuto.core import agenda as queueing
from tenuto.core.agenda import Order
from tenuto.core.events.step import Failure
from tenuto.core.ids import Digest, StepPath, child_path, container_path, member_path
from tenuto.core.moves import lane_account, put_step, wake
from tenuto.core.program_moves import close_account, feed
from tenuto.core.state import (
    ROOT,
    Block,
    ExecutionState,
    Expansion,
    Loop,
    ProgramFrame,
    StepState,
    Verdict,
)

__all__ = [
    "contained_child",
    "finish",
    "open_block",
    "unwanted_around",
    "unwanted_child",
    "unwanted_member",
    "wake_container",
]


def open_block(state: ExecutionState, path: StepPath, block: Block, order: Order) -> ExecutionState:
    """A plan begins: the run's own, or the sub-plan of the step of this path, whose order its steps follow."""
    state = replace(state, blocks=state.blocks.set(path, block))
    parent = path or None
    agenda = state.agenda
    members: dict[StepPath, StepState] = {}
    for i, step in enumerate(state.block_spec(path).plan.steps):
        where = member_path(path, step.name)
        missing = len(set(step.needs))
        members[where] = StepState(
            account=where,
            block=path,
            due=missing == 0,
            missing=missing,
            name=step.name,
            order=(*order, i),
            parent=parent,
            path=where,
        )
        if missing == 0:
            agenda = queueing.push(agenda, (*order, i), where)
    return replace(state, agenda=agenda, steps=state.steps.update(members))


def contained_child(state: ExecutionState, path: StepPath, tree: Digest) -> tuple[ExecutionState, StepState]:
    """The state of an item's child or an iteration that begins from this tree, known to the step that contains it."""
    where = container_path(path)
    container = state.steps.get(where)
    if container is None:
        state, container = contained_child(state, where, tree)
    expansion = container.expansion
    if expansion is not None:
        index, account = expansion.next_child, str(path)
        grown = replace(container, expansion=replace(expansion, next_child=index + 1, running=expansion.running + 1))
        state = put_step(state, wake_container(state, grown))
    else:
        loop = container.loop or Loop()
        index, account = loop.begun + 1, container.account
        if state.spec.limited and account not in state.accounts:
            state = replace(state, accounts=state.accounts.set(account, state.account(account)))
        loop = Loop(begun=index, running=True)
        state = put_step(
            state, replace(container, due=False, loop=loop, status="expanded", tree=container.tree or tree)
        )
    child = StepState(
        account=account,
        block=container.block,
        child_index=index,
        name=container.name,
        order=(*container.order, index),
        parent=container.path,
        path=path,
    )
    return state, child


def wake_container(state: ExecutionState, step: StepState) -> StepState:
    """A step with steps below it has something to decide: one to start or to cancel, or its own end."""
    if step.expansion is not None:
        return _wake_expanded(state, step, step.expansion)
    if step.loop is not None:
        return replace(step, due=not step.loop.running)
    block = state.blocks[step.path]
    return replace(step, due=block.unfinished == 0 or unwanted_member(state, step.path) is not None)


def _wake_expanded(state: ExecutionState, step: StepState, expansion: Expansion) -> StepState:
    if not expansion.running:
        return wake(step)
    if expansion.failing is not None:
        return replace(step, due=unwanted_child(state, step) is not None)
    width = state.compiled(step).step.max_parallel or len(expansion.keys)
    return replace(step, due=expansion.next_child < len(expansion.keys) and expansion.running < width)


def unwanted_member(state: ExecutionState, block: StepPath, *, all_of_them: bool = False) -> StepState | None:
    """The next step that is to be cancelled: after the first failing one of its plan, or any.

    What a step before the failing one needs is wanted, wherever it stands: that step still finishes.
    """
    held, spec = state.blocks[block], state.block_spec(block)
    failing = None if all_of_them else held.failing
    if failing is None and not all_of_them:
        return None
    wanted = 0 if failing is None else spec.needed_before[failing[-1]]
    for i in range(held.sweep, len(spec.plan.steps)):
        step = state.steps[member_path(block, spec.plan.steps[i].name)]
        if not (step.ended or wanted >> i & 1 or (failing is not None and step.order <= failing)):
            return step
    return None


def unwanted_child(state: ExecutionState, step: StepState, *, all_of_them: bool = False) -> StepState | None:
    """The next child of a `foreach` that is to be cancelled: after the first failing one, or any."""
    expansion = step.expansion
    if expansion is None or (expansion.failing is None and not all_of_them):
        return None
    for index in range(expansion.sweep, expansion.next_child):
        child = state.steps[child_path(step.path, expansion.keys[index])]
        if not child.ended:
            return child
    return None


def unwanted_around(state: ExecutionState, path: StepPath) -> StepState | None:
    """The next step that is to be cancelled in the outermost failing sub-plan or `foreach` around a step."""
    found: StepState | None = None
    step = state.steps[path]
    while step.parent is not None:
        parent = state.steps[step.parent]
        if parent.expansion is not None:
            found = unwanted_child(state, parent) or found
        elif step.parent == step.block:
            found = unwanted_member(state, step.block) or found
        step = parent
    return found


def finish(state: ExecutionState, step: StepState) -> ExecutionState:
    """A step has ended, however; nothing of it is due and its frame is gone. Tell those that wait for it."""
    state = put_step(state, step)
    if step.path in state.fed:
        state = replace(state, fed=tuple(p for p in state.fed if p != step.path))
    if step.asked_by is not None and step.parent is not None:
        return _answer_asker(state, step)
    if step.child_index >= 0:
        return _child_ended(state, step)
    return _member_ended(state, step)


def _member_ended(state: ExecutionState, step: StepState) -> ExecutionState:
    """A step of a plan has ended: those that need it may be ready, and the plan may be over."""
    spec = state.spec_of(step)
    index = spec.index[step.name]
    steps, agenda = state.steps, state.agenda
    for i in spec.dependents[index]:
        path = member_path(step.block, spec.plan.steps[i].name)
        dependent = steps[path]
        missing = dependent.missing - 1
        ready = missing == 0 and dependent.status == "waiting"
        steps = steps.set(path, replace(dependent, due=ready, missing=missing))
        if ready:
            agenda = queueing.push(agenda, dependent.order, path)
    block = state.blocks[step.block]
    failing = block.failing
    sweep = block.sweep
    if step.status == "failed" and spec.step(step.name).on_error == "fail":
        failing = step.order if failing is None else min(failing, step.order)
        sweep = failing[-1] + 1
    elif step.status == "cancelled":
        sweep = index + 1
    block = replace(block, failing=failing, sweep=sweep, unfinished=block.unfinished - 1)
    state = replace(state, agenda=agenda, blocks=state.blocks.set(step.block, block), steps=steps)
    if step.block == ROOT:
        return state
    owner = state.steps[step.block]
    return state if owner.ended else put_step(state, wake_container(state, owner))


def _child_ended(state: ExecutionState, child: StepState) -> ExecutionState:
    """A child of a `foreach`, or an iteration of a `repeat`, has ended."""
    if child.parent is None:
        raise AssertionError(f"{child.path} is no child")
    parent = state.steps[child.parent]
    expansion = parent.expansion
    if expansion is None:
        loop = replace(parent.loop or Loop(), running=False)
        return put_step(state, wake_container(state, replace(parent, loop=loop)))
    failing, sweep = expansion.failing, expansion.sweep
    if child.status == "failed" and state.compiled(child).on_error == "fail":
        failing = child.child_index if failing is None else min(failing, child.child_index)
        sweep = failing + 1
    elif child.status == "cancelled":
        sweep = child.child_index + 1
    expansion = replace(
        expansion,
        failing=failing,
        running=expansion.running - 1,
        sweep=sweep,
        unfinished=expansion.unfinished - 1,
    )
    return put_step(state, wake_container(state, replace(parent, expansion=expansion)))


def _answer_asker(state: ExecutionState, child: StepState) -> ExecutionState:
    if child.asked_by is None or child.parent is None:
        raise AssertionError(f"{child.path} was not asked for")
    parent = state.steps[child.parent]
    ordinal = child.asked_by.rpartition("/")[2]
    state = close_account(state, child.account, lane_account(parent, ordinal))
    frame = parent.frame
    if child.leaf is not None:
        parent = replace(parent, child_leaves=(*parent.child_leaves, (child.asked_by, child.leaf)))
    if parent.settling is not None:
        return put_step(state, _settled(parent, child))
    if not isinstance(frame, ProgramFrame):
        return state
    if child.status == "completed" and child.out_tree is not None:
        prefix = ordinal.rpartition(".")[0]
        parent = replace(
            parent,
            frame=replace(frame, trees={**frame.trees, prefix: child.out_tree}),
            out_tree=child.out_tree if prefix == "" else parent.out_tree,
        )
    return feed(state, parent, ordinal, value=child.output, failure=child.error)


def _settled(parent: StepState, child: StepState) -> StepState:
    """An agent has settled the conflicts of a merge, as it says, or has failed to."""
    if child.status == "completed":
        return replace(parent, due=True, settled=child.out_tree)
    why = "" if child.error is None else f": {child.error.message}"
    failure = Failure(kind="merge_conflict", message=f"the agent that settles the conflicts failed{why}")
    return replace(parent, due=True, settling=None, verdict=Verdict(failure=failure))
