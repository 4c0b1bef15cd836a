"""How a Python program's advance changes the state: what it asks, which gathers are over, how it ended."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tenuto.core.canonical import digest
from tenuto.core.events.program import OpenLanes, StepAdvanced
from tenuto.core.events.step import Failure
from tenuto.core.ids import Digest
from tenuto.core.moves import lane_account
from tenuto.core.program_moves import close_account, place, settle_program
from tenuto.core.state import ExecutionState, ProgramFrame, StepState, Verdict

__all__ = [
    "advance_digest",
    "advance_program",
    "fold_lanes",
    "release_asks",
    "said",
    "take_conflict",
    "take_tree",
]

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
        return state  # its step has ended in the turn that told it this
    if said(event):
        frame = replace(frame, advances=(*frame.advances, advance_digest(event)))
    # A gather whose lanes asked nothing opens and closes in one advance: there is nothing to split or merge.
    opened = {ask.ordinal for ask in event.asks if isinstance(ask, OpenLanes)}
    asks = tuple(ask for ask in event.asks if ask.ordinal not in event.closed)
    for ordinal in event.closed:
        if ordinal not in opened:
            state, frame = _close_lanes(state, step, frame, ordinal)
    step, frame = fold_lanes(step, frame)
    if event.raised is not None:
        step = replace(step, verdict=Verdict(failure=event.raised))
    elif event.returned is not None:
        step = replace(step, verdict=Verdict(output=event.returned))
    frame = release_asks(replace(frame, held=(*frame.held, *asks)))
    return settle_program(state, replace(step, frame=frame))


def _close_lanes(
    state: ExecutionState, step: StepState, frame: ProgramFrame, ordinal: str
) -> tuple[ExecutionState, ProgramFrame]:
    """What the lanes have left goes back; their trees wait to be folded, inner gathers before outer ones."""
    for lane in range(frame.gathers[ordinal].lanes):
        state = close_account(state, lane_account(step, f"{ordinal}.{lane}.0"), lane_account(step, ordinal))
    open_asks = frame.open_asks
    if isinstance(open_asks.get(ordinal), OpenLanes):
        open_asks = {o: a for o, a in open_asks.items() if o != ordinal}
    return state, replace(frame, merging=(*frame.merging, ordinal), open_asks=open_asks)


def fold_lanes(step: StepState, frame: ProgramFrame) -> tuple[StepState, ProgramFrame]:
    """Take over the trees of closed gathers, up to the first whose lanes' trees must be merged."""
    while frame.merging:
        ordinal = frame.merging[0]
        inner = [o for o in frame.conflicts if o.startswith(f"{ordinal}.")]
        if inner:
            frame = take_conflict(frame, frame.conflicts[min(inner, key=place)])
            continue
        gather = frame.gathers[ordinal]
        trees = {frame.trees[f"{ordinal}.{lane}"] for lane in range(gather.lanes)} - {gather.tree}
        if len(trees) > 1:
            break
        step, frame = take_tree(step, frame, trees.pop() if trees else None)
    return step, frame


def take_tree(step: StepState, frame: ProgramFrame, tree: Digest | None) -> tuple[StepState, ProgramFrame]:
    """The tree of the first closed gather is known; None = its lanes changed nothing."""
    prefix = frame.merging[0].rpartition(".")[0]
    if tree is not None:
        frame = replace(frame, trees={**frame.trees, prefix: tree})
        if prefix == "":
            step = replace(step, out_tree=tree)
    return step, replace(frame, merging=frame.merging[1:])


def take_conflict(frame: ProgramFrame, failure: Failure) -> ProgramFrame:
    """The first closed gather has no tree: its lane stops there, the others run to their ends."""
    return replace(frame, conflicts={**frame.conflicts, frame.merging[0]: failure}, merging=frame.merging[1:])


def release_asks(frame: ProgramFrame) -> ProgramFrame:
    """Let held asks begin once no merge is under way, but for those that follow a conflict in their lane."""
    if frame.merging or not frame.held:
        return frame
    stopped = tuple(ask for ask in frame.held if any(_follows(ask.ordinal, o) for o in frame.conflicts))
    begun = tuple(ask for ask in frame.held if ask not in stopped)
    return replace(frame, held=stopped, pending=(*frame.pending, *begun))


def _follows(ordinal: str, gather: str) -> bool:
    prefix, _, number = gather.rpartition(".")
    if prefix and not ordinal.startswith(f"{prefix}."):
        return False
    rest = ordinal[len(prefix) + 1 :] if prefix else ordinal
    return int(rest.partition(".")[0]) > int(number)
