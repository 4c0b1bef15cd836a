"""How a Python program's advance changes the state: what it asks, which gathers are over, how it ended."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tenuto.core.canonical import digest
from tenuto.core.events.program import OpenLanes, StepAdvanced
from tenuto.core.ids import Digest
from tenuto.core.moves import close_account, lane_account, settle_program
from tenuto.core.state import ExecutionState, ProgramFrame, StepState, Verdict

__all__ = ["advance_digest", "advance_program", "said"]

_encode = msgspec.json.Encoder(order="sorted").encode


def advance_digest(event: StepAdvanced) -> Digest:
    """What an advance asked, without the line it stood on: a program that is run again must do the same."""
    return digest(_encode(replace(event, at="")))


def said(event: StepAdvanced) -> bool:
    """Whether an advance says anything: it asked, closed lanes, returned or raised."""
    return bool(event.asks or event.closed or event.returned is not None or event.raised is not None)


def advance_program(state: ExecutionState, step: StepState, event: StepAdvanced) -> ExecutionState:
    frame = step.frame
    if not isinstance(frame, ProgramFrame):
        raise AssertionError(f"{step.path} is no program")
    if said(event):
        frame = replace(frame, advances=(*frame.advances, advance_digest(event)))
    # A gather whose lanes asked nothing opens and closes in one advance: there is nothing to split or merge.
    opened = {ask.ordinal for ask in event.asks if isinstance(ask, OpenLanes)}
    asks = tuple(ask for ask in event.asks if ask.ordinal not in event.closed)
    for ordinal in event.closed:
        if ordinal not in opened:
            state, frame, step = _close_lanes(state, step, frame, ordinal)
    if event.raised is not None:
        step = replace(step, verdict=Verdict(failure=event.raised))
    elif event.returned is not None:
        step = replace(step, verdict=Verdict(output=event.returned))
    if frame.merging:
        frame = replace(frame, held=(*frame.held, *asks))
    else:
        frame = replace(frame, pending=(*frame.pending, *asks))
    return settle_program(state, replace(step, frame=frame))


def _close_lanes(
    state: ExecutionState, step: StepState, frame: ProgramFrame, ordinal: str
) -> tuple[ExecutionState, ProgramFrame, StepState]:
    gather = frame.gathers[ordinal]
    prefix = ordinal.rpartition(".")[0]
    changed: list[Digest] = []
    for lane in range(gather.lanes):
        name = f"{ordinal}.{lane}"
        state = close_account(state, lane_account(step, f"{name}.0"), lane_account(step, ordinal))
        tree = frame.trees[name]
        if tree != gather.tree and tree not in changed:
            changed.append(tree)
    open_asks = frame.open_asks
    if ordinal in open_asks and isinstance(open_asks[ordinal], OpenLanes):
        open_asks = {o: a for o, a in open_asks.items() if o != ordinal}
    frame = replace(frame, open_asks=open_asks)
    if len(changed) == 1:
        frame = replace(frame, trees={**frame.trees, prefix: changed[0]})
        if prefix == "":
            step = replace(step, out_tree=changed[0])
    elif changed:
        frame = replace(frame, merging=(*frame.merging, ordinal))
    return state, frame, step
