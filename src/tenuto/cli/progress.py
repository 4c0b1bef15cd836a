"""What a person sees while a run is driven: a live tree on a terminal, a line for each step elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, Self, TextIO

from tenuto.cli.output import tell
from tenuto.cli.waiting import resting_line
from tenuto.core.events.call import CallInDoubt, CallLost, CallRefused, ModelCallFailed, ToolCallFailed
from tenuto.core.events.program import TimerSet
from tenuto.core.events.run import RunExhausted, RunForked, RunResumed, RunStarted
from tenuto.core.events.step import (
    AttemptFailed,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepReused,
    StepSkipped,
    StepStarted,
)
from tenuto.core.ids import StepPath, child_path, member_path
from tenuto.core.report import grade
from tenuto.core.state import ROOT, ExecutionState
from tenuto.runtime.live_text import LiveText
from tenuto.runtime.pacing import ProviderRests
from tenuto.runtime.published import Published

__all__ = ["PlainProgress", "Progress", "Silent", "make_progress"]


class Progress(Protocol):
    @property
    def watch(self) -> Callable[[LiveText], None] | None:
        """Sees answers on their way; None where they would not be shown, so that nothing is streamed."""
        ...

    def hear(self, published: Published) -> None: ...

    def rests(self, resting: ProviderRests) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Silent:
    """Shows nothing: for `--json`."""

    watch = None

    def hear(self, published: Published) -> None: ...

    def rests(self, resting: ProviderRests) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class PlainProgress:
    """One line for each thing that happens to a step; seconds count from the first record heard."""

    watch = None

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun: int | None = None
        self._at_us = 0
        self._failed: dict[str, str] = {}

    def hear(self, published: Published) -> None:
        if self._begun is None:
            self._begun = published.at_us
        self._at_us = published.at_us
        line = self._retry(published) or _line(published)
        if line:
            self._tell(line)

    def rests(self, resting: ProviderRests) -> None:
        """Why nothing goes on for a while. It is no record: its time is that of the last one heard."""
        self._tell(f"resting    {resting_line(resting)}")

    def _tell(self, line: str) -> None:
        seconds = (self._at_us - (self._begun or self._at_us)) / 1_000_000
        tell(f"{seconds:7.1f}s  {line}", self._stream)

    def _retry(self, published: Published) -> str:
        """That a call is made again; why it is, was said by the record of its failure."""
        event, state = published.event, published.state
        match event:
            case ModelCallFailed(call=call, error=error) | ToolCallFailed(call=call, error=error):
                self._failed[call] = error.kind
            case TimerSet(timer=timer, try_number=number, why="try"):
                path = timer.rsplit("/", 2)[0]
                step = state.steps.get(StepPath(path))
                tries = f" of {state.compiled(step).retry.tries}" if step is not None else ""
                wait = max(0, event.due_us - published.at_us) / 1_000_000
                return f"retry      {path}: {self._failed.pop(timer, 'failed')}, try {number}{tries} in {wait:.1f} s"
            case _:
                pass
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def make_progress(stream: TextIO, variables: Mapping[str, str], *, quiet: bool) -> Progress:
    """The live tree on a terminal that can show it, plain lines elsewhere."""
    if quiet:
        return Silent()
    if not stream.isatty() or variables.get("CI") or variables.get("TERM", "") in ("", "dumb"):
        return PlainProgress(stream)
    from tenuto.cli.live import LiveProgress

    return LiveProgress(stream, colour=not variables.get("NO_COLOR"))


def _line(published: Published) -> str:
    event = published.event
    match event:
        case StepStarted(attempt=attempt, path=path):
            return f"started    {path}" + (f" (attempt {attempt})" if attempt > 1 else "")
        case StepExpanded(path=path, keys=keys):
            return f"expanded   {path} into {len(keys)}"
        case StepCompleted(path=path):
            return f"completed  {path}"
        case StepReused(path=path, source=source):
            return f"reused     {path}, from {source.run} record {source.seq}"
        case StepFailed(path=path, error=error):
            return f"failed     {path}: {error.kind}: {error.message}"
        case AttemptFailed(path=path, error=error):
            return f"again      {path}: {error.kind}: {error.message}"
        case StepSkipped(path=path, because=because):
            return f"skipped    {path}, " + ("its condition is false" if because == path else f"because of {because}")
        case StepCancelled(path=path):
            return f"cancelled  {path}{_because(published.state, path)}"
        case CallLost(call=call):
            return f"lost       {call}: its hold counts as spent"
        case CallInDoubt(call=call, asks="person"):
            return f"in doubt   {call}: waits for a decision"
        case CallRefused(call=call):
            return f"refused    {call}: nothing is left to pay it"
        case _:
            return _run_line(published)


def _run_line(published: Published) -> str:
    event = published.event
    match event:
        case RunStarted():
            models = ", ".join(sorted(published.state.spec.lock.profiles))
            of = f", fork of {event.parent}" if isinstance(event, RunForked) else ""
            return f"grade      {grade(published.state)}: {models}{of}"
        case RunResumed():
            return f"resumed    at record {published.seq}, grade {grade(published.state)}"
        case RunExhausted(why=why):
            return f"exhausted  the {why} is used up"
        case _:
            return ""


def _because(state: ExecutionState, path: StepPath) -> str:
    """Why steps are cancelled that nobody asked to be: a neighbour failed, or one of a step around it."""
    if state.status == "cancelling":
        return ""
    at: StepPath | None = path
    while at is not None:
        around = state.steps[at].parent
        failed = _failing(state, around)
        if failed is not None:
            return f", because {failed} failed"
        at = around
    return ""


def _failing(state: ExecutionState, around: StepPath | None) -> StepPath | None:
    """The step that fails the run, a sub-plan or a `foreach`: the first in plan order."""
    expansion = None if around is None else state.steps[around].expansion
    if around is not None and expansion is not None and expansion.failing is not None:
        return child_path(around, expansion.keys[expansion.failing])
    inside = ROOT if around is None else around
    block = state.blocks.get(inside)
    if block is None or block.failing is None:
        return None
    name = state.block_spec(inside).plan.steps[block.failing[-1]].name
    return member_path(inside, name)
