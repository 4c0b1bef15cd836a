"""The live view: a tree of steps that is drawn again and again, with a bar for every limit."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TextIO

from tenuto.app.nouns import counted
from tenuto.cli.bars import budget_lines
from tenuto.cli.output import printable
from tenuto.cli.waiting import SIGNS, calls_by_step, doing, resting_line
from tenuto.core.events.call import ModelCallFailed, ModelCallRequested, ModelReplied, ToolCallRequested
from tenuto.core.events.step import StepStarted
from tenuto.core.report import grade, step_result
from tenuto.core.state import ExecutionState, StepState
from tenuto.runtime.live_text import LiveText
from tenuto.runtime.pacing import ProviderRests
from tenuto.runtime.published import Published

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["LiveProgress"]

COLOURS = {
    "completed": "green",
    "reused": "blue",
    "failed": "red",
    "skipped": "dim",
    "cancelled": "dim",
    "running": "cyan",
}
ANSWER_CHARACTERS = 400
"""As much of an answer on its way is kept to be shown."""


class LiveProgress:
    """Keeps the newest state; rich draws it some times a second, on a thread of its own."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._lock = threading.Lock()
        self._state: ExecutionState | None = None
        self._at_us = 0
        self._heard_ns = 0
        self._started: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._called: set[str] = set()
        self._models: dict[str, str] = {}
        self._answers: dict[str, tuple[str, int, str]] = {}
        self._resting: dict[str, tuple[int, str]] = {}
        self._console = Console(file=stream, no_color=not colour, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=6,
            redirect_stdout=sys.stdout.isatty(),
        )

    def hear(self, published: Published) -> None:
        """Take in one record; cheap, since a run may have thousands a second."""
        event = published.event
        with self._lock:
            self._state, self._at_us, self._heard_ns = published.state, published.at_us, time.monotonic_ns()
            path = getattr(event, "path", None)
            if isinstance(event, (ModelReplied, ModelCallFailed)):
                self._answers.pop(event.call.rsplit("/", 2)[0], None)
            elif isinstance(event, (ModelCallRequested, ToolCallRequested)):
                self._hear_call(event, published.at_us)
            elif isinstance(event, StepStarted):
                self._started.setdefault(event.path, published.at_us)
            elif path is not None:
                self._ended[path] = published.at_us

    def watch(self, piece: LiveText) -> None:
        """Keep the end of an answer that is on its way; of a step's calls the one that was heard of last."""
        path = piece.call.rsplit("/", 2)[0]
        with self._lock:
            call, number, text = self._answers.get(path, ("", 0, ""))
            text = text if (call, number) == (piece.call, piece.try_number) else ""
            self._answers[path] = (piece.call, piece.try_number, (text + piece.text)[-ANSWER_CHARACTERS:])

    def rests(self, resting: ProviderRests) -> None:
        """Say it below the tree until the pause is over."""
        with self._lock:
            until = time.monotonic_ns() + resting.pause_ms * 1_000_000
            self._resting[resting.provider] = (until, resting_line(resting))

    def _hear_call(self, event: ModelCallRequested | ToolCallRequested, at_us: int) -> None:
        """A step's clock begins with its first call that has a place, and not while it waits for one."""
        path = event.call.rsplit("/", 2)[0]
        if path in self._started and path not in self._called:
            self._started[path] = at_us
        self._called.add(path)
        if isinstance(event, ModelCallRequested):
            self._models[path] = event.config.model

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *arguments: Any) -> None:
        self._live.__exit__(*arguments)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            state = self._state
            at_us = self._at_us + (time.monotonic_ns() - self._heard_ns) // 1_000
            models = dict(self._models) if len(set(self._models.values())) > 1 else {}
            now = time.monotonic_ns()
            resting = [line for until, line in self._resting.values() if until > now]
            answers = {path: text for path, (_, _, text) in self._answers.items()}
        if state is None:
            return Text("reading the repository ...", style="dim")
        calls = calls_by_step(state)
        steps = sorted(state.steps.values(), key=lambda s: s.order)
        ended = sum(step.ended for step in steps)
        footer = [
            f"{counted(len(steps), 'step')}, {ended} ended, grade {grade(state)}",
            *resting,
            *budget_lines(state),
        ]
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        # The cursor's own line is left free: what is as high as the terminal cannot be drawn over.
        for step in _newsworthy(steps, calls, max(1, self._console.height - len(footer) - 1)):
            cells = self._row(state, step, doing(step, calls, driven=True), models, at_us)
            if answers:
                cells += (_tail(answers.get(step.path, ""), self._console.width // 3),)
            style = COLOURS.get("reused" if step.reused is not None else step.status, "")
            table.add_row(*(Text(printable(c), style=style, no_wrap=True, overflow="ellipsis") for c in cells))
        for column in table.columns[1:]:
            column.no_wrap = True  # the name gives way first
        lines = (Text(printable(line), style="dim", no_wrap=True, overflow="ellipsis") for line in footer)
        return Group(table, *lines)

    def _row(
        self, state: ExecutionState, step: StepState, word: str, models: Mapping[str, str], at_us: int
    ) -> tuple[str, ...]:
        told = step_result(state, step)
        depth = 0 if step.parent is None and step.asked_by is None else 1
        begun = None if word == "queued" else self._started.get(step.path)
        until = self._ended.get(step.path) if step.ended else at_us
        tokens = 0 if told.spent is None else told.spent.tokens
        money = 0 if told.spent is None else told.spent.usd_micros
        return (
            "  " * depth + f"{SIGNS[word]} {step.path}",
            word,
            str(told.agent or ""),
            models.get(step.path, ""),
            "" if begun is None or until is None else f"{(until - begun) / 1_000_000:.1f} s",
            f"{tokens:,} tokens" if tokens else "",
            f"${money / 1_000_000:.4f}" if money else "",
        )


def _tail(text: str, characters: int) -> str:
    """The end of an answer, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= characters else "…" + line[-characters:]


def _newsworthy(steps: list[StepState], calls: Mapping[str, set[str]], rows: int) -> list[StepState]:
    """All steps where they fit; else those that are at work or failed, then the rest, in plan order."""
    if len(steps) <= rows:
        return steps
    busy = [s for s in steps if s.status in ("running", "expanded", "merging", "backoff", "failed")]
    busy.sort(key=lambda s: doing(s, calls, driven=True) == "queued")
    roots = [s for s in steps if s.parent is None and s.asked_by is None]
    chosen: dict[str, None] = dict.fromkeys(s.path for s in busy + roots + steps)
    kept = set(list(chosen)[:rows])
    return [s for s in steps if s.path in kept]
