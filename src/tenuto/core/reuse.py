"""Making the table of what a fork may take over, from the records of its parent."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from tenuto.core.events.call import MergeRequested, ToolCallRequested
from tenuto.core.events.program import Ask, AskAgent, AskModel, AskTool, StepAdvanced
from tenuto.core.events.step import Source, StepCompleted, StepStarted
from tenuto.core.ids import MERGED_WHOLE, Digest, StepPath, call_id, split_position
from tenuto.core.permissions import plan_step
from tenuto.core.records import Record
from tenuto.core.reuse_table import OutsideCall, Reached, Reusable, ReuseTable
from tenuto.core.reusing import config_of
from tenuto.core.state import ExecutionState, StepState

__all__ = ["is_left_out", "reuse_table"]


class _Seen:
    """What the records say of the steps that the state at their end does not."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.first_keys: dict[StepPath, Digest] = {}
        self.completed: dict[StepPath, int] = {}
        self.made: dict[StepPath, Digest] = {}
        self.reached: dict[StepPath, set[Reached]] = {}
        self.outside: list[ToolCallRequested] = []
        for record in records:
            match record.event:
                case StepStarted(attempt=1) as event:
                    self.first_keys[event.path] = event.key
                case StepCompleted() as event:
                    self.completed[event.path] = record.seq
                case MergeRequested() as event:
                    path, _, ordinal = split_position(event.call)
                    if ordinal == MERGED_WHOLE:
                        self.made[path] = event.plan.others[0].tree
                case StepAdvanced() as event:
                    found = (_reached(ask) for ask in event.asks)
                    self.reached.setdefault(event.path, set()).update(what for what in found if what is not None)
                case ToolCallRequested(answered_by=None, try_number=1, effect="once" | "idempotent") as event:
                    self.outside.append(event)
                case _:
                    pass


def reuse_table(
    state: ExecutionState, records: Iterable[Record], *, leave_out: Collection[StepPath] = ()
) -> ReuseTable:
    """All that a run came to, as far as it got, with what it could take over itself. `records` are all of its own.

    Steps of `leave_out`, and those below them, are not in it: a fork executes them although nothing has changed.
    Failed, skipped and cancelled steps have no result; steps that contain others are put together again from these.
    """
    seen = _Seen(records)
    entries = {
        key: entry for key, entry in state.spec.reuse.entries.items() if not is_left_out(entry.path, leave_out)
    }
    for path, seq in seen.completed.items():
        step = state.steps[path]
        contains = step.expansion is not None or step.loop is not None or path in state.blocks
        if not contains and path in seen.first_keys and not is_left_out(path, leave_out):
            entries[seen.first_keys[path]] = _entry(state, step, seen, seq)
    outside = [
        OutsideCall(
            arguments=event.arguments,
            call=call_id(state.run, event.call),
            step=plan_step(state, state.steps[split_position(event.call)[0]]),
            tool=event.tool,
        )
        for event in seen.outside
    ]
    return ReuseTable(entries=entries, outside=(*state.spec.reuse.outside, *outside))


def _entry(state: ExecutionState, step: StepState, seen: _Seen, seq: int) -> Reusable:
    if step.key is None or step.leaf is None or step.output is None or step.tree is None:
        raise AssertionError(f"{step.path} has completed without a result")
    tree = step.out_tree or step.tree
    made = seen.made.get(step.path, tree if step.whole is None else step.tree)
    reached = tuple(sorted(seen.reached.get(step.path, ()), key=msgspec.json.encode))
    return Reusable(
        child_leaves=step.child_leaves,
        config=config_of(state, step, route=step.route, reached=reached),
        fingerprints=step.fingerprints,
        given=step.tree,
        last_key=step.key,
        leaf=step.leaf,
        made=made,
        model_config=step.model_config,
        output=step.output,
        path=step.path,
        reached=reached,
        refusals=step.refusals,
        route=step.route,
        source=Source(run=state.run, seq=seq),
        tree=tree,
    )


def _reached(ask: Ask) -> Reached | None:
    match ask:
        case AskModel():
            return Reached(kind="model", max_tokens=ask.max_tokens, model=ask.model, name=ask.agent)
        case AskAgent():
            return Reached(kind="agent", name=ask.agent)
        case AskTool():
            return Reached(kind="tool", name=ask.tool)
        case _:
            return None


def is_left_out(path: StepPath, left_out: Collection[StepPath]) -> bool:
    """Whether a step is one of these, or stands below one."""
    return any(path == step or path.startswith((f"{step}/", f"{step}[", f"{step}#")) for step in left_out)
