"""The moves that events are made of: small changes of state that several events share.

Everything here is total and pure; `evolve` composes these, and nothing else does.
"""

from __future__ import annotations

from typing import Literal

from immutables import Map
from msgspec.structs import replace

from tenuto.core import agenda as queueing
from tenuto.core.agenda import Order
from tenuto.core.budget import Account, Amount, subtract
from tenuto.core.content import Content
from tenuto.core.events.program import AskAgent, AskModel, AskPerson, AskTool, OpenLanes
from tenuto.core.events.step import Failure
from tenuto.core.ids import Digest, StepPath, child_path, container_path, member_path, position
from tenuto.core.ledger import release, returned
from tenuto.core.state import (
    ROOT,
    Block,
    Call,
    ExecutionState,
    Expansion,
    Fed,
    Loop,
    ProgramFrame,
    StepState,
    Verdict,
)
from tenuto.core.work import needs_approval, work_of

__all__ = [
    "attend",
    "close_account",
    "contained_child",
    "drop_call",
    "drop_calls",
    "enqueue",
    "feed",
    "finish",
    "give_verdict",
    "lane_account",
    "open_block",
    "place",
    "put_step",
    "repeat",
    "settle_program",
    "unwanted_member",
    "vacate",
    "wake",
    "wake_container",
]


def wake(step: StepState) -> StepState:
    """The step has something to decide."""
    return replace(step, due=True)


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
        later = expansion.keys[expansion.failing + 1 : expansion.next_child]
        return replace(step, due=any(not state.steps[child_path(step.path, key)].ended for key in later))
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


def put_step(state: ExecutionState, step: StepState) -> ExecutionState:
    """Keep a changed step, and keep the agenda's head one that is due."""
    path = step.path
    agenda = state.agenda
    if step.due:
        before = state.steps.get(path)
        if before is None or not before.due:
            agenda = queueing.push(agenda, step.order, path)
    steps = state.steps.set(path, step)
    while agenda is not None and not steps[StepPath(agenda.label)].due:
        agenda = queueing.pop(agenda)
    return replace(state, agenda=agenda, steps=steps)


# --- calls ----------------------------------------------------------------------------------------------------


def enqueue(
    state: ExecutionState,
    step: StepState,
    kind: Literal["model", "tool", "person"],
    ordinal: str,
    *,
    ask: bool = False,
) -> ExecutionState:
    """A step wants a call: it waits for a place, first come first served within its agent's group.

    A question to a person, and a call for which one must be asked (`ask`), holds no place: it is put at once.
    """
    where = position(step.path, step.attempt, ordinal)
    group = ""
    if kind == "model":
        agent = work_of(state, step).agent_for(step, where)
        if agent.at_once is not None:
            group = f"agent:{agent.agent}"
    state = put_step(state, replace(step, open_calls=step.open_calls + 1))
    call = Call(
        account=lane_account(step, ordinal),
        group=group,
        kind=kind,
        order=(*step.order, step.attempt, *map(int, ordinal.split("."))),
        path=step.path,
        position=where,
    )
    if ask or kind == "person":
        return attend(state, replace(call, status="unasked"))
    return repeat(state, call)


def repeat(state: ExecutionState, call: Call) -> ExecutionState:
    """A call, new or again, takes its place at the end of the queue."""
    waiting = queueing.push(state.queue.get(call.group), (state.queued,), call.position)
    return replace(
        state,
        calls=state.calls.set(call.position, call),
        queue=state.queue.set(call.group, waiting),
        queued=state.queued + 1,
    )


def attend(state: ExecutionState, call: Call) -> ExecutionState:
    """A call needs a decision of its own before anything else."""
    return replace(state, attend=(*state.attend, call.position), calls=state.calls.set(call.position, call))


def drop_call(
    state: ExecutionState, call: Call, *, accounts: Map[str, Account] | None = None, spent: Amount | None = None
) -> ExecutionState:
    """A call is over: its place is free again. `accounts` and `spent` are those after it, where it changes them."""
    step = state.steps[call.path]
    group_open, open_calls = _places(state, call)
    return replace(
        state,
        accounts=state.accounts if accounts is None else accounts,
        calls=state.calls.delete(call.position),
        group_open=group_open,
        open_calls=open_calls,
        spent=state.spent if spent is None else spent,
        steps=state.steps.set(call.path, replace(step, open_calls=step.open_calls - 1)),
    )


def drop_calls(state: ExecutionState, path: StepPath) -> ExecutionState:
    """A step is cancelled: nothing of it is wanted any more. Open calls were declared lost before."""
    dropped = {p: c for p, c in state.calls.items() if c.path == path}
    timers = state.timers
    for timer in state.timers:
        if timer.rpartition("/")[0] == path or timer.rsplit("/", 2)[0] == path:
            timers = timers.delete(timer)
    state = replace(state, attend=tuple(p for p in state.attend if p not in dropped), timers=timers)
    for group in {c.group for c in dropped.values() if c.status == "queued"}:
        kept = None
        waiting = state.queue.get(group)
        while waiting is not None:
            if waiting.label not in dropped:
                kept = queueing.push(kept, waiting.order, waiting.label)
            waiting = queueing.pop(waiting)
        state = replace(state, queue=state.queue.delete(group) if kept is None else state.queue.set(group, kept))
    for call in dropped.values():
        merging = (call.kind in ("merge", "plan") and call.status == "open") or call.asks_tool
        state = replace(
            state,
            accounts=_unreserved(state, call),
            merges_open=state.merges_open - merging,
            parked=state.parked - (call.status == "parked"),
            people=state.people - call.asks_person,
        )
        if call.kind in ("merge", "plan"):
            state = replace(state, calls=state.calls.delete(call.position))
        else:
            state = drop_call(state, call)
    return state


def _unreserved(state: ExecutionState, call: Call) -> Map[str, Account]:
    """The accounts without the hold of a call that was never made."""
    account = state.accounts.get(call.account)
    if account is None or call.status != "queued":
        return state.accounts
    return state.accounts.set(call.account, release(account, call.hold))


def vacate(state: ExecutionState, call: Call) -> ExecutionState:
    """An open call gives its place back, though it is not over."""
    group_open, open_calls = _places(state, call)
    return replace(state, group_open=group_open, open_calls=open_calls)


def _places(state: ExecutionState, call: Call) -> tuple[Map[str, int], int]:
    """The places that are taken, of each group and in all, without that of a call."""
    group_open = state.group_open
    if call.status != "open":
        return group_open, state.open_calls
    if call.group:
        group_open = group_open.set(call.group, group_open[call.group] - 1)
    return group_open, state.open_calls - 1


def give_verdict(state: ExecutionState, step: StepState, verdict: Content | Failure) -> ExecutionState:
    """What the attempt comes to; said in a record once no call of it is open."""
    told = step.verdict
    if isinstance(verdict, Failure):
        told = Verdict(failure=verdict)
    elif told is None:
        told = Verdict(output=verdict)
    return put_step(state, replace(step, due=step.open_calls == 0, verdict=told))


# --- steps ----------------------------------------------------------------------------------------------------


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
    failing = expansion.failing
    if child.status == "failed" and state.compiled(child).on_error == "fail":
        failing = child.child_index if failing is None else min(failing, child.child_index)
    expansion = replace(
        expansion, failing=failing, running=expansion.running - 1, unfinished=expansion.unfinished - 1
    )
    return put_step(state, wake_container(state, replace(parent, expansion=expansion)))


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


# --- programs -------------------------------------------------------------------------------------------------


def lane_account(step: StepState, ordinal: str) -> str:
    """The account that pays a request of this ordinal: its lane's, or the step's own."""
    prefix = ordinal.rpartition(".")[0]
    return f"{step.path}/{step.attempt}/{prefix}" if prefix else step.account


def feed(
    state: ExecutionState,
    step: StepState,
    ordinal: str,
    *,
    value: Content | None = None,
    failure: Failure | None = None,
) -> ExecutionState:
    """Tell a program the outcome of one of its requests. The shell will advance it."""
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        return state
    told = Fed(at=state.at, failure=failure, ordinal=ordinal, value=value)
    open_asks = {o: a for o, a in frame.open_asks.items() if o != ordinal}
    frame = replace(frame, fed=(*frame.fed, told), open_asks=open_asks)
    state = put_step(state, replace(step, frame=frame))
    return replace(state, fed=(*state.fed, step.path))


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


def close_account(state: ExecutionState, name: str, into: str) -> ExecutionState:
    """What an account has left goes back to where it came from."""
    account = state.accounts.get(name)
    if account is None:
        return state
    rest = account.free
    target = state.account(into)
    accounts = state.accounts.set(name, replace(account, granted=subtract(account.granted, rest)))
    return replace(state, accounts=accounts.set(into, replace(target, granted=returned(target.granted, rest))))


def place(ordinal: str) -> tuple[int, ...]:
    """Where an ordinal stands among those of its program."""
    return tuple(map(int, ordinal.split(".")))


def settle_program(state: ExecutionState, step: StepState) -> ExecutionState:
    """Queue the calls a program asked for, up to the first ask that needs a record of its own."""
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{step.path} is no program")
    waiting = list(frame.pending)
    open_asks = dict(frame.open_asks)
    ready: list[tuple[Literal["model", "tool", "person"], str, bool]] = []
    unknown: list[tuple[str, str]] = []
    while waiting:
        ask = waiting[0]
        agent = ask.agent if isinstance(ask, (AskModel, AskAgent)) else None
        if agent is not None and agent not in state.spec.registry.agents:
            unknown.append((ask.ordinal, agent))
        elif isinstance(ask, AskModel):
            ready.append(("model", ask.ordinal, False))
        elif isinstance(ask, AskTool):
            ready.append(("tool", ask.ordinal, needs_approval(state, step, ask.tool)))
        elif isinstance(ask, AskPerson):
            ready.append(("person", ask.ordinal, True))
        else:
            break
        waiting.pop(0)
    for ask in frame.pending:
        open_asks[ask.ordinal] = ask
    frame = replace(frame, open_asks=open_asks, pending=tuple(waiting))
    under_way = frame.merging or any(not isinstance(ask, OpenLanes) for ask in open_asks.values())
    if frame.conflicts and not under_way and not waiting:
        # Every other lane has come to its end: which conflict is told does not depend on who was first.
        step = replace(step, verdict=Verdict(failure=frame.conflicts[min(frame.conflicts, key=place)]))
    if frame.merging:
        due = position(step.path, step.attempt, f"{frame.merging[0]}.m") not in state.calls
    else:
        due = bool(waiting) or (step.verdict is not None and step.open_calls + len(ready) == 0)
    state = put_step(state, replace(step, due=due, frame=frame))
    for kind, ordinal, asked in ready:
        state = enqueue(state, state.steps[step.path], kind, ordinal, ask=asked)
    for ordinal, agent in unknown:
        error = Failure(kind="agent", message=f"the run knows no agent {agent!r}")
        state = feed(state, state.steps[step.path], ordinal, failure=error)
    return state
