"""`decide(state) -> command`: the next thing to do, or nothing. Reads the state alone: same state, same answer.

One command at a time, since the fact of each changes the state; `take` in `core.turn` asks until all is waiting.
The order is fixed: what a failure or cancellation ends, calls that need attention, calls that wait for a place
(first come first served), steps that are due (plan order), and when nothing can move: money, then the end.
"""

from __future__ import annotations

from tenuto.core.budget import NOTHING, Amount
from tenuto.core.calls import request_call
from tenuto.core.cancelling import cancel_step
from tenuto.core.commands import Command, Conclude, MergeTrees, ReconcileCall, SetTimer
from tenuto.core.content import Content
from tenuto.core.events.call import CallInDoubt, CallLost, CallRefused, MergeRequested
from tenuto.core.events.program import TimerSet
from tenuto.core.events.run import ParkedCall, RunEnded, RunExhausted
from tenuto.core.ids import END_MERGE, Digest, Position, StepPath
from tenuto.core.joins import ends_tree
from tenuto.core.ledger import RUN, payment
from tenuto.core.people import ask_person
from tenuto.core.results import result_digest
from tenuto.core.scope import plan_scope
from tenuto.core.seeds import backoff_ms
from tenuto.core.state import ROOT, Call, ExecutionState, StepState
from tenuto.core.step_moves import unwanted_around, unwanted_member
from tenuto.core.stepping import decide_step, load_again, merge_again

__all__ = ["TURN_LONG", "decide", "idle", "outstanding_timers", "waits_for_people", "waits_for_program"]


TURN_LONG = 200_000
"""Records that may follow from one input. A plan of which more do goes on without ever waiting: its run fails."""


def decide(state: ExecutionState) -> Command | None:
    """What should happen next; None = wait for the next input."""
    if state.status not in ("running", "cancelling"):
        return None
    if state.seq - state.turn > TURN_LONG and state.status == "running":
        return _stop_endless(state)
    whole = state.blocks[ROOT]
    if whole.failing is not None or state.status == "cancelling":
        unwanted = unwanted_member(state, ROOT, all_of_them=state.status == "cancelling")
        if unwanted is not None:
            return cancel_step(state, unwanted)
        if state.status == "cancelling":
            return _end(state)
    if state.attend:
        return _attend(state, state.calls[state.attend[0]])
    call = _admitted(state)
    if call is not None:
        unwanted = unwanted_around(state, call.path)
        return request_call(state, call) if unwanted is None else cancel_step(state, unwanted)
    if state.agenda is not None:
        return decide_step(state, state.steps[StepPath(state.agenda.label)])
    if whole.unfinished == 0:
        return _end(state)
    if (state.parked or state.queue) and (idle(state) or state.pass_after is not None):
        return _pay(state)
    return None


def idle(state: ExecutionState) -> bool:
    """Whether nothing can move: no call open, no timer running, nobody asked, no program told something."""
    return not (state.open_calls or state.merges_open or state.timers or state.people or state.fed)


def waits_for_program(state: ExecutionState) -> bool:
    """Whether programs that ask nothing new must say so: parked calls, or the end of a step, wait for that."""
    if any(getattr(state.steps[path].frame, "conflicts", None) for path in state.fed):
        return True
    return bool(state.parked and state.fed) and not (
        state.open_calls or state.merges_open or state.timers or state.people
    )


def waits_for_people(state: ExecutionState) -> bool:
    """Whether nothing moves but by a person. Timers that only end their time to answer do not count."""
    if not state.people or state.open_calls or state.merges_open:
        return False
    return all(_ends_a_question(state, timer) for timer in state.timers)


def _ends_a_question(state: ExecutionState, timer: str) -> bool:
    call = state.calls.get(Position(timer))
    return call is not None and call.status == "asked"


def outstanding_timers(state: ExecutionState) -> dict[str, int]:
    """Timers that a resuming engine must set again: name -> due time. Their records stand already."""
    return dict(state.timers)


# --- calls ----------------------------------------------------------------------------------------------------


def _attend(state: ExecutionState, call: Call) -> Command:
    if call.status == "backoff":
        step = state.compiled(state.steps[call.path])
        wait = backoff_ms(
            state.seed, f"{call.position}#{call.failures}", base_ms=step.retry.backoff_ms, number=call.failures
        )
        due = state.at + max(wait, call.retry_after_ms) * 1000
        return SetTimer(TimerSet(due_us=due, timer=call.position, try_number=call.try_number + 1, why="try"))
    if call.status in ("unasked", "asked"):
        return ask_person(state, call)
    if call.kind == "merge":
        return merge_again(state, call)
    if call.kind == "plan":
        return load_again(state, call)
    if call.kind == "model":
        return Conclude(CallLost(call=call.position, kept=call.hold, try_number=call.try_number))
    if call.reconcilable:
        return ReconcileCall(CallInDoubt(asks="tool", call=call.position, try_number=call.try_number))
    return Conclude(CallInDoubt(asks="person", call=call.position, try_number=call.try_number))


def _admitted(state: ExecutionState) -> Call | None:
    """The call that gets the next free place, if there is one."""
    if not state.queue or state.open_calls >= state.max_parallel or _out_of_time(state):
        return None
    first: tuple[int, ...] | None = None
    chosen = ""
    for group, waiting in state.queue.items():
        if (first is None or waiting.order < first) and _has_place(state, group):
            first, chosen = waiting.order, waiting.label
    return state.calls[Position(chosen)] if chosen else None


def _has_place(state: ExecutionState, group: str) -> bool:
    """Whether each limit that holds for the group leaves a place."""
    return all(state.group_open.get(limited, 0) < _at_once(state, limited) for limited in group.split())


def _at_once(state: ExecutionState, limited: str) -> int:
    kind, _, name = limited.partition(":")
    if kind == "provider":
        return state.spec.lock.at_once[name]
    return state.spec.registry.agents[name].at_once or state.max_parallel


def _out_of_time(state: ExecutionState) -> bool:
    return state.time_limit_us is not None and state.active_us >= state.time_limit_us


# --- money ----------------------------------------------------------------------------------------------------


def _pay(state: ExecutionState) -> Command | None:
    """Look at the parked calls once, in plan order; pay those that can be paid; if none can, refuse."""
    if _out_of_time(state):
        return Conclude(_exhausted(state, "time")) if idle(state) else None
    parked = sorted((c for c in state.calls.values() if c.status == "parked"), key=lambda c: c.order)
    # Once one is refused all are: what a refused step leaves over must not pay for the next.
    refused = _first_refusable(state, parked) if state.refusing else None
    if refused is not None:
        return refused
    for call in parked:
        if state.pass_after is not None and call.order <= state.pass_after:
            continue
        moved = payment(state, call)
        if moved is not None:
            return Conclude(moved)
    if state.pass_after is not None or not parked:
        return None
    return _first_refusable(state, parked) or Conclude(_exhausted(state, "budget"))


def _first_refusable(state: ExecutionState, parked: list[Call]) -> Conclude | None:
    """The refusal of the first call whose step goes on without it, or whose asker handles the error."""
    for call in parked:
        if _is_handled(state, state.steps[call.path]):
            return Conclude(CallRefused(call=call.position, need=call.need))
    return None


def _is_handled(state: ExecutionState, step: StepState) -> bool:
    """Whether a failure of this step is not the run's: another agent, its asker or a policy takes care of it."""
    compiled = state.compiled(step)
    if step.asked is not None or compiled.on_error != "fail" or step.route < len(compiled.fallbacks):
        return True
    return step.block != ROOT and _is_handled(state, state.steps[step.block])


def _exhausted(state: ExecutionState, why: str) -> RunExhausted:
    parked = sorted((c for c in state.calls.values() if c.status == "parked"), key=lambda c: c.order)
    free: dict[str, int] = {}
    accounts = {RUN, *state.accounts, *state.spec.index}
    for dimension in state.spec.plan.budget.limited:
        free[dimension] = sum(getattr(state.account(name).free, dimension) for name in accounts)
    return RunExhausted(
        free=Amount(**free) if free else NOTHING,
        parked=tuple(ParkedCall(call=c.position, need=c.need) for c in parked),
        why="time" if why == "time" else "budget",
    )


def _stop_endless(state: ExecutionState) -> Command:
    """End what is under way, then the run."""
    member = next((step for step in state.members(ROOT) if not step.ended), None)
    if member is not None:
        return cancel_step(state, member)
    why = f"more than {TURN_LONG} records followed from one: lower repeat.max, or let foreach have a max_parallel"
    return _ended(state, "failed", state.tree, why)


# --- ends -----------------------------------------------------------------------------------------------------


def _end(state: ExecutionState) -> Command | None:
    if state.status == "cancelling":
        return _ended(state, "cancelled", state.tree, state.why)
    failing = state.blocks[ROOT].failing
    if failing is not None:
        step = state.steps[StepPath(state.spec.plan.steps[failing[0]].name)]
        why = step.error.message if step.error is not None else "failed"
        return _ended(state, "failed", state.tree, why, failed=step.path)
    tree = state.final_tree
    if tree is None:
        if state.merges_open:
            return None
        joined = ends_tree(state, ROOT)
        if not isinstance(joined, str):
            return MergeTrees(MergeRequested(call=END_MERGE, plan=joined))
        tree = joined
    elif state.why:
        return _ended(state, "failed", state.tree, state.why)
    try:
        outputs = state.spec.outputs
        value = None if outputs is None else Content.of(outputs.evaluate(plan_scope(state)))
    except ValueError as error:
        return _ended(state, "failed", tree, f"outputs: {error}")
    return _ended(state, "ok", tree, "", outputs=value)


def _ended(
    state: ExecutionState,
    status: str,
    tree: Digest,
    error: str,
    *,
    failed: StepPath | None = None,
    outputs: Content | None = None,
) -> Command:
    result = result_digest(state, tree)
    return Conclude(
        RunEnded(
            error=error,
            failed_step=failed,
            in_doubt=state.in_doubt,
            outputs=outputs,
            result=result,
            spent=state.spent,
            status="ok" if status == "ok" else "failed" if status == "failed" else "cancelled",
            tree=tree,
        )
    )
