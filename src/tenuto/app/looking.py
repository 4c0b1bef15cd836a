"""Looking closely: a run with its timeline, a step or a call with all that was said and done. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from tenuto.adapters.clock import SystemClock
from tenuto.app.auditing import audits_told
from tenuto.app.build import Store, open_workspace
from tenuto.app.finding import resolve_run
from tenuto.app.runs import ShownRun, is_owned
from tenuto.app.timeline import CallSpan, Timeline, timeline_of
from tenuto.core.budget import Amount
from tenuto.core.canonical import parse
from tenuto.core.content import Content
from tenuto.core.events.call import ModelCallRequested, ModelReplied, ToolCallRequested, ToolReturned
from tenuto.core.events.step import Failure
from tenuto.core.frames import read_reply
from tenuto.core.ids import Digest
from tenuto.core.models import Message, ToolCallAsk
from tenuto.core.problems import did_you_mean, shorten
from tenuto.core.report import StepResult, step_result
from tenuto.core.state import StepState
from tenuto.errors import UsageError
from tenuto.ports.workspace import FileChange
from tenuto.runtime.imported import is_imported
from tenuto.runtime.loading import fold, load_records, load_spec

__all__ = [
    "Changed",
    "LookedAtCall",
    "LookedAtStep",
    "SeenCall",
    "SeenRun",
    "kinds_of_change",
    "look",
    "see_run",
    "value_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRun:
    """A run as it stands, and when everything in it was. `now_us` is where what goes on has come to."""

    shown: ShownRun
    timeline: Timeline
    now_us: int
    audited: list[str]


class SeenCall(msgspec.Struct, frozen=True, kw_only=True):
    """A model or tool call with what went in and what came out. JSON values only.

    `messages` are all that the model was given, or of a step's calls those that the call before was not given.
    """

    call: str
    kind: str
    name: str
    status: str
    agent: str | None
    tries: int
    failures: list[Failure]
    started_us: int
    duration_ms: int | None
    spent: Amount
    hold: Amount
    fingerprint: Digest
    config: dict[str, Any] | None = None
    messages: list[Message] = []
    text: str | None = None
    tool_calls: list[ToolCallAsk] = []
    finish: str | None = None
    violations: list[str] = []
    dropped: list[str] = []
    served: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    effect: str | None = None
    version: str | None = None
    key: Digest | None = None
    arguments: msgspec.Raw | None = None
    result: msgspec.Raw | None = None


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of files: path and kind of change of each, and a git-style patch. `kept`: it was not taken back."""

    files: list[tuple[str, str]]
    patch: str
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAtStep:
    """A step with its calls, in the order in which they were made."""

    run: SeenRun
    step: StepState
    result: StepResult
    calls: list[SeenCall]
    below: list[str]
    changed: Changed | None

    def object(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "run": self.run.shown.state.run,
            "step": msgspec.to_builtins(self.result),
            "output": None if self.step.output is None else self.step.output.raw,
            "below": self.below,
            "calls": [_builtins(call) for call in self.calls],
            "changed": None if self.changed is None else msgspec.to_builtins(self.changed),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAtCall:
    """One call of a run, with the whole conversation it was made with."""

    run: SeenRun
    call: SeenCall
    changed: Changed | None

    def object(self) -> dict[str, Any]:
        """As `--json` shows it."""
        changed = None if self.changed is None else msgspec.to_builtins(self.changed)
        return {"run": self.run.shown.state.run, "call": _builtins(self.call), "changed": changed}


def _builtins(call: SeenCall) -> dict[str, Any]:
    return {field: getattr(call, field) for field in call.__struct_fields__}


async def see_run(store: Store, given: str) -> SeenRun:
    """A run by its name. UsageError for an unknown one, DamagedStoreError where its journal is not whole."""
    run = await resolve_run(store.journal, given)
    _, records = await load_records(store.journal, store.contents, run)
    spec = await load_spec(store.contents, records[0])
    imported = await is_imported(store.journal, store.artifacts, run)
    shown = ShownRun(state=fold(spec, records), owned=await is_owned(store, run), imported=imported)
    audited = await audits_told(store.artifacts, sorted(spec.lock.profiles))
    now_us = max(shown.state.at, SystemClock().now_us()) if shown.owned else shown.state.at
    return SeenRun(shown=shown, timeline=timeline_of(spec, records), now_us=now_us, audited=audited)


async def look(store: Store, given: str, part: str) -> LookedAtStep | LookedAtCall:
    """A step or a call of a run, by its path or position. UsageError for one that the run has not."""
    seen = await see_run(store, given)
    state, calls = seen.shown.state, seen.timeline.calls
    name = part.removeprefix(f"{state.run}/")
    if name in calls:
        span = calls[name]
        (call,) = await _seen_calls(store, seen.timeline, [span], whole=True)
        return LookedAtCall(run=seen, call=call, changed=await _changed_by_call(store, span))
    step = next((step for path, step in state.steps.items() if path == name), None)
    if step is None:
        fix = did_you_mean(name, [*state.steps, *calls])
        raise UsageError(f"the run has no step or call {shorten(part)}", where=f"run {state.run}", fix=fix)
    spans = [span for span in calls.values() if span.path == name]
    return LookedAtStep(
        run=seen,
        step=step,
        result=step_result(state, step),
        calls=await _seen_calls(store, seen.timeline, spans, whole=False),
        below=[s.path for s in sorted(state.steps.values(), key=lambda s: s.order) if _directly_below(s, name)],
        changed=await _changed_by_step(store, seen.timeline, step, spans),
    )


def _directly_below(step: StepState, path: str) -> bool:
    if step.parent is not None:
        return step.parent == path
    return step.asked_by is not None and step.asked_by.rsplit("/", 2)[0] == path


# --- calls ----------------------------------------------------------------------------------------------------


async def _seen_calls(store: Store, timeline: Timeline, spans: Iterable[CallSpan], *, whole: bool) -> list[SeenCall]:
    """The calls with their messages: all of each, or only those that are new in it."""
    chosen = list(spans)
    wanted = {span.asked.call: _parts(timeline, span.asked, whole=whole) for span in chosen}
    known = _known_bodies(timeline)
    missing = {digest for parts in wanted.values() for digest in parts} - set(known)
    found = await store.contents.get_many(sorted(missing))
    messages: dict[str, list[Message]] = {}
    for call, parts in wanted.items():
        told = [
            known.get(digest) or _message(found[digest]) for digest in parts if digest in known or digest in found
        ]
        messages[call] = told if whole else [message for message in told if message.role in ("system", "user")]
    return [_seen_call(span, messages[span.asked.call]) for span in chosen]


def _parts(timeline: Timeline, asked: ModelCallRequested | ToolCallRequested, *, whole: bool) -> list[Digest]:
    """The digests of a request's messages, in order."""
    if isinstance(asked, ToolCallRequested):
        return []
    own = [part.digest for part in asked.parts]
    before = timeline.calls.get(asked.extends) if asked.extends is not None and whole else None
    return own if before is None else [*_parts(timeline, before.asked, whole=True), *own]


def _known_bodies(timeline: Timeline) -> dict[Digest, Message]:
    """Replies and results by their digest: as messages they are named by it and stored nowhere else."""
    found: dict[Digest, Message] = {}
    for span in timeline.calls.values():
        match span.outcome:
            case ModelReplied(reply=reply) if reply.at_hand:
                body = read_reply(reply)
                found[reply.digest] = Message(role="assistant", text=body.text, tool_calls=body.tool_calls)
            case ToolReturned(result=result) if result.at_hand:
                found[result.digest] = Message(role="tool", text=result.data.decode(), tool_name=span.name)
            case _:
                pass
    return found


def _message(data: bytes) -> Message:
    try:
        return msgspec.json.decode(data, type=Message)
    except msgspec.MsgspecError:
        return Message(role="tool", text=data.decode("utf-8", "replace"))


def _seen_call(span: CallSpan, messages: list[Message]) -> SeenCall:
    asked, outcome = span.asked, span.outcome
    more: dict[str, Any] = {}
    if isinstance(asked, ModelCallRequested):
        more = {"config": msgspec.to_builtins(asked.config), "messages": messages}
    else:
        more = {
            "effect": asked.effect,
            "version": asked.version,
            "key": asked.key,
            "arguments": _raw(asked.arguments),
        }
    if isinstance(outcome, ModelReplied):
        reply = read_reply(outcome.reply)
        more |= {
            "text": reply.text,
            "tool_calls": list(reply.tool_calls),
            "finish": outcome.finish,
            "violations": list(outcome.violations),
            "dropped": list(outcome.dropped),
            "served": msgspec.to_builtins(outcome.served),
            "usage": msgspec.to_builtins(outcome.usage),
        }
    elif isinstance(outcome, ToolReturned):
        more |= {"result": _raw(outcome.result), "violations": list(outcome.violations)}
    return SeenCall(
        call=asked.call,
        kind=span.kind,
        name=span.name,
        status=span.status,
        agent=asked.agent,
        tries=asked.try_number,
        failures=[error for _, error in span.failures],
        started_us=span.first_us,
        duration_ms=None if outcome is None else outcome.duration_ms,
        spent=span.spent,
        hold=asked.hold,
        fingerprint=asked.fingerprint,
        **more,
    )


def _raw(content: Content) -> msgspec.Raw:
    return content.raw


# --- files ----------------------------------------------------------------------------------------------------


async def _changed_by_call(store: Store, span: CallSpan) -> Changed | None:
    if isinstance(span.asked, ToolCallRequested) and isinstance(span.outcome, ToolReturned):
        return await _changed(store, span.asked.tree, span.outcome.tree, kept=True)
    return None


async def _changed_by_step(
    store: Store, timeline: Timeline, step: StepState, spans: list[CallSpan]
) -> Changed | None:
    """What a step did to the files; of one that failed, what its last attempt did before it was taken back."""
    span = timeline.steps.get(step.path)
    if span is None or span.tree is None:
        return None
    last = next((s.outcome.tree for s in reversed(spans) if isinstance(s.outcome, ToolReturned)), None)
    after = span.out if step.status == "completed" else last
    return None if after is None else await _changed(store, span.tree, after, kept=step.status == "completed")


async def _changed(store: Store, before: Digest, after: Digest, *, kept: bool) -> Changed | None:
    if before == after:
        return None
    workspace = open_workspace(store)
    try:
        changes = await workspace.changes(before, after)
        patch = await workspace.patch(before, after)
    finally:
        await workspace.close()
    return Changed(files=kinds_of_change(changes), patch=patch.decode("utf-8", "replace"), kept=kept)


def value_of(raw: msgspec.Raw | None) -> Any:
    """A raw JSON value decoded; None where there is none."""
    return None if raw is None else parse(bytes(raw))


def kinds_of_change(changes: Iterable[FileChange]) -> list[tuple[str, str]]:
    """Each path with what became of it: added, deleted or changed."""
    return [(c.path, "added" if c.before is None else "deleted" if c.after is None else "changed") for c in changes]
