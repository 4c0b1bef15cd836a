"""What people decide about a run: cancelling and pausing it, answering its questions, settling a call in doubt.

All of it goes into the run's inbox, where the first answer wins, and whoever drives the run takes it from there.
A cancelled run that nobody drives is ended here: that needs no engine, since nothing is executed any more.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenuto.adapters.clock import SystemClock
from tenuto.app.build import Store
from tenuto.app.earlier_answers import earlier_answer
from tenuto.app.finding import resolve_run
from tenuto.app.runs import ShownRun, is_owned, show_run
from tenuto.core.canonical import clean, parse
from tenuto.core.content import Content
from tenuto.core.events import Input
from tenuto.core.ids import Position, RunId
from tenuto.core.problems import did_you_mean, shorten
from tenuto.core.requests import (
    AnswerCall,
    CancelRun,
    PauseRun,
    Refusal,
    Request,
    ResolveCall,
    admit,
    request_key,
    write_request,
)
from tenuto.core.state import ExecutionState
from tenuto.core.turn import take
from tenuto.errors import FencedError, RefusedRequestError, UsageError
from tenuto.ports.journal import Fence, Head, StoredRecord
from tenuto.runtime.accounts import given_back
from tenuto.runtime.imported import refuse_imported
from tenuto.runtime.loading import load_state

__all__ = ["answer_call", "cancel_run", "pause_run", "read_json", "resolve_call"]

POLL_S = 0.1
NOTE_MAX = 4_000
"""Characters of the longest note or reason."""
RESULT_BYTES_MAX = 4 << 20


async def cancel_run(store: Store, given: str, *, reason: str = "", who: str = "") -> ShownRun:
    """Cancel a run and wait until it has ended. RefusedRequestError where it had ended already."""
    run = await _own_run(store, given)
    state = await load_state(store.journal, store.contents, run)
    request = store.redactor.event(CancelRun(reason=clean(reason[:NOTE_MAX]), who=clean(who)))
    asked_at_us = SystemClock().now_us()
    refusal = admit(state, request, asked_at_us=asked_at_us)
    if isinstance(refusal, Refusal):
        raise RefusedRequestError(f"run {run} cannot be cancelled: {refusal.why}", fix=f"see `tenuto show {run}`")
    key = request_key(request, state)
    await store.journal.ask(run, key, write_request(request))
    while True:
        shown = await show_run(store, run)
        if shown.state.ended:
            return shown
        if not shown.owned:
            try:
                await _end(store, run, request, key)
            except FencedError:
                """Somebody resumed it in this moment, and takes the request from the inbox."""
        await asyncio.sleep(POLL_S)


async def _end(store: Store, run: RunId, request: Request, key: str) -> None:
    """Drive a run that nobody drives to its cancelled end. FencedError when somebody does."""
    session = await store.journal.open_session("cancel")
    try:
        fence, _ = await store.journal.claim(run, session)
        state = await load_state(store.journal, store.contents, run)
        if state.ended:
            return
        at = max(SystemClock().now_us(), state.at)
        admitted = admit(state, request, asked_at_us=at)
        if isinstance(admitted, Refusal):
            return
        await _append(store, fence, state, admitted, at, key)
    finally:
        await session.close()


async def _append(store: Store, fence: Fence, state: ExecutionState, event: Input, at: int, key: str) -> None:
    """Take an input into the journal, with what the kernel derives from it. No effect follows."""
    turn = take(state, event, at=at)
    await store.contents.put_many(list(turn.blobs.values()))
    records = [StoredRecord(e.seq, e.hash, e.body) for e in turn.entries]
    head, rest = Head(state.seq, state.head), given_back(turn.state)
    await store.journal.append(fence, head, records, {}, taken=[key], gives=rest)


async def resolve_call(
    store: Store, given: str, call: str, *, done: bool, result: Content | None = None, who: str = ""
) -> tuple[RunId, Position]:
    """Say what became of a call in doubt: it was made (and gave `result`), or it was not and is made again.

    RefusedRequestError where the call is not in doubt, or somebody answered before.
    """
    run = await _own_run(store, given)
    state = await load_state(store.journal, store.contents, run)
    position = _position(state, call)
    request = store.redactor.event(ResolveCall(call=position, done=done, result=result, who=clean(who)))
    found = state.calls.get(position)
    # A call that was open when the engine died is in doubt as soon as the run is resumed: the answer waits for it.
    lost = found is not None and found.status == "open" and found.effect in ("once", "idempotent")
    refusal = admit(state, request, asked_at_us=SystemClock().now_us())
    if isinstance(refusal, Refusal) and not (lost and not await is_owned(store, run)):
        raise RefusedRequestError(refusal.why, where=f"run {run}", fix=f"see `tenuto show {run}`")
    answer = await store.journal.ask(run, request_key(request, state), write_request(request))
    if not answer.accepted:
        raise RefusedRequestError(
            f"the call {position} was answered before", where=f"run {run}", fix=f"go on: `tenuto resume {run}`"
        )
    return run, position


async def answer_call(
    store: Store,
    given: str,
    call: str | None,
    *,
    approved: bool,
    details: Content | None = None,
    note: str = "",
    who: str = "",
) -> tuple[RunId, Position]:
    """Answer a call that waits for a person; without `call`, the only one there is. The first answer wins.

    RefusedRequestError where it does not wait, its time is over, or somebody answered before.
    """
    run = await _own_run(store, given)
    state = await load_state(store.journal, store.contents, run)
    position = _only_asked(state) if call is None else await _answerable(store, state, call)
    request = store.redactor.event(
        AnswerCall(approved=approved, call=position, details=details, note=clean(note[:NOTE_MAX]), who=clean(who))
    )
    refusal = admit(state, request, asked_at_us=SystemClock().now_us())
    if isinstance(refusal, Refusal):
        why = await earlier_answer(store, state, position) or refusal.why
        raise RefusedRequestError(
            why, where=f"run {run}", fix=f"see `tenuto show {run}`; `tenuto resume {run}` goes on"
        )
    answer = await store.journal.ask(run, request_key(request, state), write_request(request))
    if not answer.accepted:
        why = await earlier_answer(store, state, position) or f"the call {position} was answered before"
        raise RefusedRequestError(why, where=f"run {run}", fix=f"go on: `tenuto resume {run}`")
    return run, position


async def _answerable(store: Store, state: ExecutionState, given: str) -> Position:
    """The call of that name, open. RefusedRequestError says what became of one that is answered."""
    try:
        return _position(state, given)
    except UsageError:
        name = given.removeprefix(f"{state.run}/")
        if why := await earlier_answer(store, state, name):
            raise RefusedRequestError(why, where=f"run {state.run}", fix=f"see `tenuto logs {state.run}`") from None
        raise


async def _own_run(store: Store, given: str) -> RunId:
    """The run, where it is one of this store that may still change."""
    run = await resolve_run(store.journal, given)
    await refuse_imported(store.journal, store.artifacts, run)
    return run


def _only_asked(state: ExecutionState) -> Position:
    asked = sorted(c.position for c in state.calls.values() if c.status == "asked")
    if len(asked) == 1:
        return asked[0]
    if not asked:
        raise RefusedRequestError("no call waits for an approval", where=f"run {state.run}", fix="see `tenuto show`")
    raise UsageError(
        f"{len(asked)} calls wait for an approval", where=f"run {state.run}", fix=f"name one: {', '.join(asked[:6])}"
    )


async def pause_run(store: Store, given: str, *, who: str = "") -> ShownRun:
    """Let the calls under way end, start none, and wait until whoever drives the run has left it.

    RefusedRequestError where nobody drives it: then nothing is under way.
    """
    run = await _own_run(store, given)
    state = await load_state(store.journal, store.contents, run)
    request = store.redactor.event(PauseRun(who=clean(who)))
    refusal = admit(state, request, asked_at_us=SystemClock().now_us())
    if isinstance(refusal, Refusal):
        raise RefusedRequestError(refusal.why, where=f"run {run}", fix=f"see `tenuto show {run}`")
    if not await is_owned(store, run):
        raise RefusedRequestError(
            "nobody drives the run: nothing is under way", where=f"run {run}", fix=f"`tenuto resume {run}` goes on"
        )
    await store.journal.ask(run, request_key(request, state), write_request(request))
    while True:
        shown = await show_run(store, run)
        if not shown.owned:
            return shown
        await asyncio.sleep(POLL_S)


def _position(state: ExecutionState, given: str) -> Position:
    """A call by its position, or by the run's id and its position."""
    name = given if given in state.calls else given.removeprefix(f"{state.run}/")
    if name in state.calls:
        return Position(name)
    waiting = sorted(c.position for c in state.calls.values() if c.asks_person)
    fix = did_you_mean(name, waiting) if waiting else "no call of this run waits for a decision"
    raise UsageError(f"no call {shorten(name)} is open", where=f"run {state.run}", fix=fix)


def read_json(flag: str, path: Path) -> Content:
    """What a flag's file holds, as JSON. UsageError."""
    where = f"{flag} {path}"
    try:
        with path.open("rb") as file:
            data = file.read(RESULT_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=where, fix="correct the path") from None
    if len(data) > RESULT_BYTES_MAX:
        raise UsageError(f"the file is larger than {RESULT_BYTES_MAX} bytes", where=where, fix="shorten it")
    try:
        return Content.of(clean(parse(data)))
    except ValueError as error:
        raise UsageError(f"the file holds no JSON: {error}", where=where, fix='write for example {"id": 7}') from None
