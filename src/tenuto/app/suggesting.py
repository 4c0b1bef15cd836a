"""What a shell may complete: runs, steps and calls of a run, plan files. Fast: no loop, no engine, few imports."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tenuto.adapters.stores.heads import HeadsNote
from tenuto.adapters.stores.sqlite_reader import Reader
from tenuto.app.config import read_settings
from tenuto.core.ids import Digest, RunId
from tenuto.ports.journal import RunEntry

__all__ = ["Suggestion", "call_suggestions", "plan_suggestions", "run_suggestions", "step_suggestions"]

RUNS_MAX = 50
RECORDS_MAX = 5_000
"""Of a long run, steps are found in its first records only."""
BUSY_MS = 100


class Suggestion(NamedTuple):
    """A word, and what a shell may show beside it."""

    word: str
    help: str = ""


@contextlib.contextmanager
def _reader(store: str | None) -> Iterator[Reader]:
    path = read_settings(Path(), {"store": store}).store / "journal.db"
    heads = HeadsNote(path.with_name(f"{path.name}.heads"))
    reader = Reader(path, heads, BUSY_MS)
    try:
        yield reader
    finally:
        reader.close()
        heads.close()


def run_suggestions(store: str | None, beginning: str) -> list[Suggestion]:
    """The newest runs whose id begins so, the newest first, with plan and status."""
    with _reader(store) as reader:
        entries = [entry for entry in reversed(_entries(reader)) if entry.run.startswith(beginning)][:RUNS_MAX]
        named = {entry.run: str(_event(entry.first.body)[1].get("plan", "")) for entry in entries}
        plans = reader.blobs([Digest(digest) for digest in dict.fromkeys(named.values()) if len(digest) == 64])
    names = {digest: str(msgspec.json.decode(body).get("name", "")) for digest, body in plans.items()}
    last = [Suggestion("@last", "the newest run")] if entries and "@last".startswith(beginning) else []
    return last + [
        Suggestion(entry.run, f"{names.get(Digest(named[entry.run]), '?')}, {_status(entry)}") for entry in entries
    ]


def step_suggestions(store: str | None, given: str, beginning: str) -> list[Suggestion]:
    """The steps of a run whose path begins so, as far as they have started."""
    found: dict[str, str] = {}
    for kind, data in _events(store, given):
        path = data.get("path")
        if isinstance(path, str) and kind.startswith("Step") and kind != "StepAdvanced":
            found[path] = kind.removeprefix("Step").lower()
    return [Suggestion(path, word) for path, word in found.items() if path.startswith(beginning)]


def call_suggestions(store: str | None, given: str, beginning: str) -> list[Suggestion]:
    """The model and tool calls of a run whose position begins so."""
    found: dict[str, str] = {}
    for kind, data in _events(store, given):
        if kind in ("ModelCallRequested", "ToolCallRequested"):
            found[data["call"]] = data.get("tool") or data["config"]["model"]
    return [Suggestion(call, name) for call, name in found.items() if call.startswith(beginning)]


def plan_suggestions(beginning: str) -> list[Suggestion]:
    """Plan files below the directory that the beginning of a path names."""
    directory, name = os.path.split(beginning)
    with os.scandir(directory or ".") as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith((".plan.yaml", ".plan.yml")))
    return [Suggestion(os.path.join(directory, found), "plan") for found in names if found.startswith(name)]


def _entries(reader: Reader) -> list[RunEntry]:
    return [entry for entry in reader.runs(lambda *_, **__: False) if not entry.damaged]


def _events(store: str | None, given: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with _reader(store) as reader:
        runs = [entry.run for entry in _entries(reader)]
        chosen = runs[-1:] if given == "@last" else [run for run in runs if run == given or run.startswith(given)][:1]
        for run in [RunId(given)] if given in runs else chosen:
            for record in reader.scan(run, -1, RECORDS_MAX):
                yield _event(record.body)


def _event(body: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and data of a record. Not its class: that would import all of the kernel."""
    record = msgspec.json.decode(body)
    return record["kind"], record["data"]


def _status(entry: RunEntry) -> str:
    kind, data = _event(entry.last.body)
    if kind == "RunEnded":
        return str(data["status"])
    return "exhausted" if kind == "RunExhausted" else "not ended"
