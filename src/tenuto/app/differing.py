"""Two runs side by side: steps aligned by their paths, and the first difference with what was asked and answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tenuto.app.build import Store, open_workspace
from tenuto.app.looking import LookedAtCall, SeenCall, SeenRun, kinds_of_change, look, see_run
from tenuto.app.timeline import CallSpan
from tenuto.core.budget import Amount
from tenuto.core.events.call import ModelReplied, ToolCallRequested, ToolReturned
from tenuto.core.ids import Digest, split_position
from tenuto.core.report import StepResult, step_result
from tenuto.core.state import ROOT, StepState

__all__ = ["Differing", "FirstDifference", "StepDifference", "compare_runs"]


class StepDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One step of either run. `differs` is empty where nothing does that its leaf covers."""

    path: str
    a: StepResult | None
    b: StepResult | None
    differs: list[str]


class FirstDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The first step that differs, in plan order, and in it the first call, where one does.

    `a` and `b` are what differs there, as JSON: two requests, two answers, two outputs, two lists of files.
    """

    step: str
    call: str | None
    what: str
    a: Any
    b: Any


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """What two runs have in common and what they have not. `whole` names what differs of the runs as such."""

    a: str
    b: str
    same: bool
    whole: dict[str, list[Any]]
    steps: list[StepDifference]
    first: FirstDifference | None
    spent: list[Amount]
    files: list[tuple[str, str]]


async def compare_runs(store: Store, a: str, b: str) -> Differing:
    """Compare two runs, ended or not. UsageError for an unknown one, DamagedStoreError where one is not whole."""
    left, right = await see_run(store, a), await see_run(store, b)
    one, two = left.shown.state, right.shown.state
    steps = [_step_difference(path, left, right) for path in _aligned(left, right)]
    whole = _whole(left, right)
    return Differing(
        a=one.run,
        b=two.run,
        same=not whole and not any(step.differs for step in steps),
        whole=whole,
        steps=steps,
        first=await _first(store, left, right, steps),
        spent=[one.spent, two.spent],
        files=await _files(store, one.tree, two.tree),
    )


def _whole(left: SeenRun, right: SeenRun) -> dict[str, list[Any]]:
    """What differs of the runs as such. Ids, times and records are not compared: they always do."""
    one, two = left.shown.state, right.shown.state
    facts = {
        "plan": (one.plan, two.plan),
        "registry": (one.spec.registry.digest, two.spec.registry.digest),
        "seed": (one.seed, two.seed),
        "inputs": (one.blocks[ROOT].inputs.value, two.blocks[ROOT].inputs.value),
        "start_tree": (one.blocks[ROOT].tree, two.blocks[ROOT].tree),
        "status": (left.shown.status, right.shown.status),
        "result": (one.result, two.result),
        "outputs": (
            None if one.outputs is None else one.outputs.value,
            None if two.outputs is None else two.outputs.value,
        ),
    }
    return {name: [x, y] for name, (x, y) in facts.items() if x != y}


def _aligned(left: SeenRun, right: SeenRun) -> list[str]:
    """The paths of all steps: those of the first run in plan order, each of the second after the one before it."""
    paths = [step.path for step in _ordered(left)]
    known = set(paths)
    at = 0
    for step in _ordered(right):
        if step.path in known:
            at = paths.index(step.path) + 1
        else:
            paths.insert(at, step.path)
            at += 1
    return [str(path) for path in paths]


def _ordered(seen: SeenRun) -> list[StepState]:
    return sorted(seen.shown.state.steps.values(), key=lambda step: step.order)


def _step_difference(path: str, left: SeenRun, right: SeenRun) -> StepDifference:
    one, two = _step(left, path), _step(right, path)
    if one is None or two is None:
        a = None if one is None else step_result(left.shown.state, one)
        b = None if two is None else step_result(right.shown.state, two)
        return StepDifference(path=path, a=a, b=b, differs=["only in " + ("b" if one is None else "a")])
    a, b = step_result(left.shown.state, one), step_result(right.shown.state, two)
    differs: list[str] = []
    if a.agent != b.agent:
        differs.append("agent")
    differs += _differing_calls(left, right, path) if one.reused is two.reused is None else _differing_keys(one, two)
    differs += [
        name
        for name, x, y in (
            ("status", a.status, b.status),
            ("output", a.output_digest, b.output_digest),
            ("tree", a.tree_digest, b.tree_digest),
        )
        if x != y
    ]
    return StepDifference(path=path, a=a, b=b, differs=differs)


def _differing_calls(left: SeenRun, right: SeenRun, path: str) -> Iterator[str]:
    ones, twos = _calls(left, path), _calls(right, path)
    if [span.asked.fingerprint for span in ones] != [span.asked.fingerprint for span in twos]:
        yield "request"
    if [_answer(span) for span in ones] != [_answer(span) for span in twos]:
        yield "answer"


def _differing_keys(one: StepState, two: StepState) -> Iterator[str]:
    """A step that took a recorded result has no calls in its run: what it was asked is in its key."""
    if one.key != two.key:
        yield "request"


def _step(seen: SeenRun, path: str) -> StepState | None:
    return next((step for known, step in seen.shown.state.steps.items() if known == path), None)


def _calls(seen: SeenRun, path: str) -> list[CallSpan]:
    """A step's calls by their places, not by the times at which they were made."""
    return sorted((span for span in seen.timeline.calls.values() if span.path == path), key=_place)


def _place(span: CallSpan) -> tuple[int, ...]:
    _, attempt, ordinal = split_position(span.asked.call)
    return (attempt, *map(int, ordinal.split(".")))


def _answer(span: CallSpan) -> Digest | None:
    match span.outcome:
        case ModelReplied(reply=reply):
            return reply.digest
        case ToolReturned(result=result):
            return result.digest
        case _:
            return None


# --- the first difference -------------------------------------------------------------------------------------


async def _first(
    store: Store, left: SeenRun, right: SeenRun, steps: Iterable[StepDifference]
) -> FirstDifference | None:
    found = next((step for step in steps if step.differs), None)
    if found is None:
        return None
    if found.a is None or found.b is None:
        a, b = (None if side is None else msgspec.to_builtins(side) for side in (found.a, found.b))
        return FirstDifference(step=found.path, call=None, what=found.differs[0], a=a, b=b)
    pairs = zip(_calls(left, found.path), _calls(right, found.path), strict=False)
    for one, two in pairs:
        request = one.asked.fingerprint != two.asked.fingerprint
        if request or _answer(one) != _answer(two):
            return await _call_difference(store, left, right, found.path, (one, two), request=request)
    return await _end_difference(store, found, left, right)


async def _call_difference(
    store: Store, left: SeenRun, right: SeenRun, path: str, calls: tuple[CallSpan, CallSpan], *, request: bool
) -> FirstDifference:
    sides: list[Any] = []
    for seen, span in zip((left, right), calls, strict=True):
        looked = await look(store, seen.shown.state.run, span.asked.call)
        if not isinstance(looked, LookedAtCall):
            raise AssertionError(f"{span.asked.call} is a call")
        sides.append(_request(looked.call, span) if request else _reply(looked.call))
    what = "request" if request else "answer"
    return FirstDifference(step=path, call=calls[0].asked.call, what=what, a=sides[0], b=sides[1])


def _request(call: SeenCall, span: CallSpan) -> dict[str, Any]:
    """What a call was made with, as JSON."""
    if isinstance(span.asked, ToolCallRequested):
        return {
            "tool": call.name,
            "version": call.version,
            "arguments": msgspec.json.decode(call.arguments or b"null"),
            "tree": span.asked.tree,
        }
    return {"config": call.config, "messages": msgspec.to_builtins(call.messages)}


def _reply(call: SeenCall) -> dict[str, Any]:
    """What came back, as JSON."""
    if call.kind == "tool":
        return {"status": call.status, "result": msgspec.json.decode(call.result or b"null")}
    return {"text": call.text, "tool_calls": msgspec.to_builtins(call.tool_calls)}


async def _end_difference(
    store: Store, found: StepDifference, left: SeenRun, right: SeenRun
) -> FirstDifference | None:
    """Calls alike, but not how the step ended."""
    one, two = _step(left, found.path), _step(right, found.path)
    if one is None or two is None:
        raise AssertionError(f"{found.path} is in both runs")
    if found.differs == ["tree"] and one.out_tree is not None and two.out_tree is not None:
        files = await _files(store, one.out_tree, two.out_tree)
        return FirstDifference(step=found.path, call=None, what="tree", a=[], b=[list(file) for file in files])
    a, b = (
        {
            "status": step.status,
            "output": None if step.output is None else step.output.value,
            "error": None if step.error is None else step.error.message,
        }
        for step in (one, two)
    )
    return FirstDifference(step=found.path, call=None, what=found.differs[0], a=a, b=b)


async def _files(store: Store, before: Digest, after: Digest) -> list[tuple[str, str]]:
    """How the files of the second tree differ from those of the first: path and kind of change."""
    if before == after:
        return []
    workspace = open_workspace(store)
    try:
        return kinds_of_change(await workspace.changes(before, after))
    finally:
        await workspace.close()
