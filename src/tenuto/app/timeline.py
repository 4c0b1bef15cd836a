"""When the steps and calls of a run began and ended, what each call was and what it cost: a fold over its records.

The state of a run knows how things stand and not when they came to be so; whoever shows a run needs both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from tenuto.core.budget import NOTHING, Amount, add
from tenuto.core.events.call import (
    CallInDoubt,
    CallLost,
    CallReconciled,
    CallRefused,
    CallResolved,
    ModelCallFailed,
    ModelCallRequested,
    ModelReplied,
    ToolCallFailed,
    ToolCallRequested,
    ToolReturned,
)
from tenuto.core.events.run import RunStarted
from tenuto.core.events.step import (
    AttemptFailed,
    Failure,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tenuto.core.ids import Digest, split_position
from tenuto.core.ledger import model_usage
from tenuto.core.records import Record
from tenuto.core.spec import RunSpec

__all__ = ["CallSpan", "StepSpan", "Timeline", "timeline_of"]

CallStanding = Literal["open", "ok", "error", "failed", "lost", "in doubt", "refused"]


@dataclass(slots=True)
class CallSpan:
    """A model or tool call: its last try and what became of it. `failures`: number and error of tries that failed."""

    asked: ModelCallRequested | ToolCallRequested
    first_us: int
    attempt: int
    path: str
    ended_us: int | None = None
    failures: list[tuple[int, Failure]] = field(default_factory=list[tuple[int, Failure]])
    outcome: ModelReplied | ToolReturned | None = None
    spent: Amount = NOTHING
    status: CallStanding = "open"

    @property
    def name(self) -> str:
        """The model or tool that is called."""
        return self.asked.config.model if isinstance(self.asked, ModelCallRequested) else self.asked.tool

    @property
    def kind(self) -> Literal["model", "tool"]:
        return "model" if isinstance(self.asked, ModelCallRequested) else "tool"


@dataclass(slots=True)
class StepSpan:
    """A step from start to end. `tree` is what its newest attempt began with, `out` what the step ended with."""

    started_us: int | None = None
    worked_us: int | None = None
    ended_us: int | None = None
    attempts: list[Failure | None] = field(default_factory=list[Failure | None])
    tree: Digest | None = None
    out: Digest | None = None

    @property
    def begun_us(self) -> int | None:
        """When its first call was made; of a step without calls when it started."""
        return self.started_us if self.worked_us is None else self.worked_us


class Timeline:
    """Hears the records of one run in order. Bodies that are not at hand stay so."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.started_us = 0
        self.steps: dict[str, StepSpan] = {}
        self.calls: dict[str, CallSpan] = {}

    def hear(self, record: Record) -> None:
        event, at = record.event, record.at
        match event:
            case RunStarted():
                self.started_us = at
            case StepStarted(path=path):
                step = self._step(path)
                step.started_us = at if step.started_us is None else step.started_us
                step.tree = event.tree
                step.attempts.append(None)
            case StepExpanded(path=path):
                step = self._step(path)
                step.started_us, step.tree = at, event.tree
            case AttemptFailed(path=path, error=error):
                self._step(path).attempts[-1:] = [error]
            case StepCompleted(path=path) | StepFailed(path=path) | StepSkipped(path=path):
                step = self._step(path)
                step.ended_us, step.out = at, event.tree
            case StepCancelled(path=path):
                self._step(path).ended_us = at
            case ModelCallRequested() | ToolCallRequested():
                self._asked(event, at)
            case _:
                self._hear_outcome(record)

    def _step(self, path: str) -> StepSpan:
        return self.steps.setdefault(path, StepSpan())

    def _asked(self, event: ModelCallRequested | ToolCallRequested, at: int) -> None:
        path, attempt, _ = split_position(event.call)
        step = self._step(path)
        step.worked_us = at if step.worked_us is None else step.worked_us
        known = self.calls.get(event.call)
        if known is None:
            self.calls[event.call] = CallSpan(event, at, attempt, path)
        else:
            known.asked, known.status, known.ended_us = event, "open", None

    def _hear_outcome(self, record: Record) -> None:
        event = record.event
        name = getattr(event, "call", None)
        call = self.calls.get(name) if isinstance(name, str) else None
        if call is None:
            return
        match event:
            case ModelReplied():
                self._end(call, record, "ok", self._cost(call, event))
                call.outcome = event
            case ToolReturned():
                self._end(call, record, event.status, call.asked.hold)
                call.outcome = event
            case ModelCallFailed(kept=kept):
                self._end(call, record, "failed", call.asked.hold if kept else NOTHING)
                call.failures.append((event.try_number, event.error))
            case ToolCallFailed():
                self._end(call, record, "failed", NOTHING)
                call.failures.append((event.try_number, event.error))
            case CallLost(kept=kept):
                self._end(call, record, "lost", kept)
            case CallInDoubt():
                call.status = "in doubt"
            case CallRefused():
                self._end(call, record, "refused", NOTHING)
            case CallResolved(done=done) | CallReconciled(done=done):
                self._end(call, record, "ok" if done else "open", NOTHING)
            case _:
                pass

    def _end(self, call: CallSpan, record: Record, status: CallStanding, spent: Amount) -> None:
        call.status, call.ended_us, call.spent = status, record.at, add(call.spent, spent)

    def _cost(self, call: CallSpan, event: ModelReplied) -> Amount:
        """What the ledger charges for it."""
        asked = call.asked
        assert isinstance(asked, ModelCallRequested)
        return model_usage(self.spec.agent_work(asked.agent, model=asked.config.model), event.usage)


def timeline_of(spec: RunSpec, records: Iterable[Record]) -> Timeline:
    """The timeline of these records."""
    timeline = Timeline(spec)
    for record in records:
        timeline.hear(record)
    return timeline
