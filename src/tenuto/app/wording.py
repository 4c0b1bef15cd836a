"""Events in words, as `logs` says them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from tenuto.app.nouns import counted
from tenuto.app.timeline import Timeline
from tenuto.core.content import Content
from tenuto.core.events import Event
from tenuto.core.events.budget import BudgetMoved, LanesOpened
from tenuto.core.events.call import (
    CallInDoubt,
    CallLost,
    CallParked,
    CallReconciled,
    CallRefused,
    CallResolved,
    MergeRequested,
    ModelCallFailed,
    ModelCallRequested,
    ModelReplied,
    ToolCallFailed,
    ToolCallRequested,
    ToolReturned,
    TreesMerged,
)
from tenuto.core.events.person import ApprovalAnswered, ApprovalRequested
from tenuto.core.events.plan import PlanLoaded
from tenuto.core.events.program import StepAdvanced, TimerFired, TimerSet
from tenuto.core.events.run import RunCancelled, RunEnded, RunExhausted, RunForked, RunPaused, RunResumed, RunStarted
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
from tenuto.core.frames import read_reply

__all__ = ["in_words", "short_model"]

ARGUMENTS_MAX = 200
_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


def short_model(name: str) -> str:
    """A model's name without its options, which are long: `mock:slow?…`."""
    plain, options, _ = name.partition("?")
    return f"{plain}?…" if options else plain


def in_words(event: Event, timeline: Timeline) -> str:
    """What happened, on one line that may be long."""
    return " ".join(_words(event, timeline).split())


def _words(event: Event, timeline: Timeline) -> str:
    match event:
        case ModelCallRequested(config=config, try_number=number):
            return f"asks {short_model(config.model)}{_try(number)}"
        case ModelReplied():
            return _replied(event)
        case ToolCallRequested(tool=tool, try_number=number):
            taken = " (answered by an earlier attempt)" if event.answered_by else ""
            return f"{tool} {_arguments(event.arguments)}{_try(number)}{taken}"
        case ToolReturned(status=status):
            name = timeline.calls[event.call].name if event.call in timeline.calls else "tool"
            return f"{name} returned{'' if status == 'ok' else ' an error'}: {_body(event.result)}"
        case ModelCallFailed(error=error, try_number=number) | ToolCallFailed(error=error, try_number=number):
            return f"try {number} failed: {error.kind}: {error.message}"
        case StepStarted(attempt=attempt):
            return "started" + (f", attempt {attempt}" if attempt > 1 else "")
        case StepExpanded(keys=keys):
            return f"expanded into {len(keys)}"
        case StepCompleted():
            return "completed"
        case StepReused(source=source):
            return f"takes the result of {source.run}, record {source.seq}"
        case StepFailed(error=error):
            return f"failed: {error.kind}: {error.message}"
        case AttemptFailed(attempt=attempt, error=error):
            return f"attempt {attempt} failed: {error.kind}: {error.message}"
        case StepSkipped(because=because, path=path):
            return "skipped, its condition is false" if because == path else f"skipped, because of {because}"
        case StepCancelled():
            return "cancelled"
        case _:
            return _run_words(event, timeline) or _decision_words(event) or _rare_words(event)


def _run_words(event: Event, timeline: Timeline) -> str:
    match event:
        case RunForked(parent=parent, changes=changes):
            return f"run {event.run} forked from {parent}" + (f": {'; '.join(changes)}" if changes else "")
        case RunStarted():
            plan = timeline.spec.plan
            return f"run {event.run} started: plan {plan.name}, {counted(len(plan.steps), 'step')}"
        case RunResumed(add_budget=added):
            more = ", ".join(f"{name} {amount}" for name, amount in msgspec.to_builtins(added).items())
            return "resumed" + (f", budget raised by {more}" if more else "")
        case RunCancelled(who=who, reason=reason):
            return "cancelled" + (f" by {who}" if who else "") + (f": {reason}" if reason else "")
        case RunExhausted(why=why):
            return f"exhausted: the {why} is used up"
        case RunEnded(status=status, error=error):
            return f"run ended: {status}" + (f": {error}" if error else "")
        case _:
            return ""


def _decision_words(event: Event) -> str:
    """What people and plans decided while the run went on."""
    match event:
        case RunPaused(who=who):
            return "paused" + (f" by {who}" if who else "")
        case ApprovalRequested(question=question):
            return f"asks a person: {_body(question)}"
        case ApprovalAnswered(approved=approved, who=who, note=note):
            by = (f" by {who}" if who else "") + (f": {note}" if note else "")
            return ("approved" if approved else "rejected") + by
        case PlanLoaded(errors=errors):
            return f"the plan is refused: {errors[0]}" if errors else "the plan is taken"
        case _:
            return ""


def _rare_words(event: Event) -> str:
    match event:
        case CallLost():
            return "lost with its engine; its hold counts as spent"
        case CallInDoubt(asks=asks):
            return "in doubt: " + ("its tool is asked" if asks == "tool" else "waits for a decision")
        case CallReconciled(done=done):
            return "its tool says: " + ("not known" if done is None else "done" if done else "not done")
        case CallResolved(done=done, who=who):
            return ("done" if done else "not done") + (f", says {who}" if who else "")
        case CallParked():
            return "waits for budget"
        case CallRefused():
            return "refused: nothing is left to pay it"
        case MergeRequested(plan=plan):
            return f"merges {counted(1 + len(plan.others), 'tree')}"
        case TreesMerged(merged=merged):
            return "merged" + (f", {counted(len(merged.conflicts), 'conflict')}" if merged.conflicts else "")
        case BudgetMoved(sources=sources):
            return f"paid from {', '.join(source.account for source in sources)}"
        case LanesOpened(lanes=lanes):
            return f"opens {counted(lanes, 'lane')}"
        case StepAdvanced():
            return _advanced(event)
        case TimerSet(why=why):
            return {"attempt": "waits before its next attempt", "try": "waits before the next try"}.get(why, "sleeps")
        case TimerFired():
            return "has waited"
        case _:
            return _WORDS.sub(" ", type(event).__name__).lower()


def _advanced(event: StepAdvanced) -> str:
    at = f" at {event.at}" if event.at else ""
    if event.raised is not None:
        return f"the program raised {event.raised.kind}: {event.raised.message}"
    if event.returned is not None:
        return "the program returned"
    kinds = [type(ask).__name__.removeprefix("Ask") for ask in event.asks]
    return f"the program asks: {', '.join(_named(kinds))}{at}" if kinds else f"the program goes on{at}"


def _named(kinds: list[str]) -> Iterator[str]:
    for kind in dict.fromkeys(kinds):
        number = kinds.count(kind)
        yield _WORDS.sub(" ", kind).lower() + (f" x {number}" if number > 1 else "")


def _replied(event: ModelReplied) -> str:
    if not event.reply.at_hand:
        return f"answered ({event.reply.length:,} bytes)"
    reply = read_reply(event.reply)
    if reply.tool_calls:
        return f"answered: wants {', '.join(ask.name for ask in reply.tool_calls)}"
    cut = {"length": " (cut at max_tokens)", "filter": " (filtered)"}.get(event.finish, "")
    bad = f"; not as asked: {'; '.join(event.violations)}" if event.violations else ""
    return f"answered{cut}: {reply.text[: 4 * ARGUMENTS_MAX]}{bad}"


def _arguments(content: Content) -> str:
    """Arguments as people write them: the command of a `run`, else names and values."""
    if not content.at_hand:
        return f"({content.length:,} bytes)"
    value = content.value
    if not isinstance(value, dict):
        return _body(content)
    if set(value) == {"command"}:
        return str(value["command"])[: 4 * ARGUMENTS_MAX]
    return " ".join(f"{name}={json.dumps(v, ensure_ascii=False)[:ARGUMENTS_MAX]}" for name, v in value.items())


def _body(content: Content) -> str:
    if not content.at_hand:
        return f"{content.length:,} bytes"
    value = content.value
    if isinstance(value, str):
        return value[: 2 * ARGUMENTS_MAX]
    if isinstance(value, dict) and "exit_code" in value:
        said = str(value.get("stdout") or value.get("stderr") or "").strip()
        return f"exit code {value['exit_code']}" + (f": {said[: 2 * ARGUMENTS_MAX]}" if said else "")
    if isinstance(value, dict) and set(value) == {"error"}:
        return str(value["error"])[: 2 * ARGUMENTS_MAX]
    return content.data[: 2 * ARGUMENTS_MAX].decode("utf-8", "ignore")


def _try(number: int) -> str:
    return f", try {number}" if number > 1 else ""
