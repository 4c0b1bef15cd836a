"""What happens to the run as a whole."""

from __future__ import annotations

from immutables import Map
from msgspec.structs import replace

from tenuto.core.budget import NOTHING, Account, add
from tenuto.core.events.run import RunCancelled, RunEnded, RunExhausted, RunForked, RunPaused, RunResumed, RunStarted
from tenuto.core.ids import END_MERGE
from tenuto.core.ledger import RUN
from tenuto.core.moves import attend, repeat
from tenuto.core.state import ROOT, Block, ExecutionState
from tenuto.core.step_moves import open_block

__all__ = ["run_cancelled", "run_ended", "run_exhausted", "run_forked", "run_paused", "run_resumed", "run_started"]


def run_started(state: ExecutionState, event: RunStarted) -> ExecutionState:
    spec = state.spec
    limit = event.budget.time_ms
    state = replace(
        state,
        accounts=Map({RUN: Account(granted=spec.rest)}) if spec.limited else Map(),
        max_parallel=event.max_parallel,
        plan=event.plan,
        root=event.run,
        run=event.run,
        seed=event.seed,
        status="running",
        time_limit_us=None if limit is None else limit * 1000,
        tree=event.tree,
    )
    block = Block(inputs=event.inputs, tree=event.tree, unfinished=len(spec.plan.steps))
    return open_block(state, ROOT, block, ())


def run_forked(state: ExecutionState, event: RunForked) -> ExecutionState:
    return replace(run_started(state, event), parent=event.parent, root=event.root)


def run_resumed(state: ExecutionState, event: RunResumed) -> ExecutionState:
    accounts = state.accounts
    if event.add_budget != NOTHING:
        rest = accounts.get(RUN, Account())
        accounts = accounts.set(RUN, replace(rest, granted=add(rest.granted, event.add_budget)))
    limit = state.time_limit_us
    stopped = state.status in ("exhausted", "paused")
    state = replace(
        state,
        accounts=accounts,
        group_open=Map(),
        limits_added=add(state.limits_added, event.add_budget),
        max_parallel=event.max_parallel,
        merges_open=0,
        open_calls=0,
        status="running" if stopped else state.status,
        # Where the last merge came back during a pause, it says why that has no tree.
        why="" if stopped and state.final_tree is None else state.why,
        time_limit_us=None if limit is None else limit + event.add_time_ms * 1000,
    )
    for call in sorted((c for c in state.calls.values() if c.status == "open"), key=lambda c: c.order):
        if call.kind == "tool" and call.effect != "once":
            state = repeat(state, replace(call, status="queued", try_number=call.try_number + 1))
        else:
            state = attend(state, replace(call, status="lost"))
    for call in sorted((c for c in state.calls.values() if c.asks_tool), key=lambda c: c.order):
        state = attend(state, replace(call, status="lost"))
    return state


def run_cancelled(state: ExecutionState, event: RunCancelled) -> ExecutionState:
    whole = replace(state.blocks[ROOT], sweep=0)
    why = event.reason or "cancelled"
    state = replace(state, blocks=state.blocks.set(ROOT, whole), status="cancelling", why=why)
    ending = state.calls.get(END_MERGE)
    if ending is None:
        return state
    return replace(
        state,
        attend=tuple(where for where in state.attend if where != END_MERGE),
        calls=state.calls.delete(END_MERGE),
        merges_open=state.merges_open - (ending.status == "open"),
    )


def run_paused(state: ExecutionState, event: RunPaused) -> ExecutionState:
    return replace(state, status="paused", why=f"paused by {event.who}" if event.who else "paused")


def run_exhausted(state: ExecutionState, event: RunExhausted) -> ExecutionState:
    return replace(state, status="exhausted", why=event.why)


def run_ended(state: ExecutionState, event: RunEnded) -> ExecutionState:
    return replace(
        state, outputs=event.outputs, result=event.result, status=event.status, tree=event.tree, why=event.error
    )
