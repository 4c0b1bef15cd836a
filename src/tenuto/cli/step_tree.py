"""The tree of a run's steps as a table, what it took each beside it, outputs and errors below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from tenuto.app.looking import SeenRun
from tenuto.app.nouns import counted
from tenuto.app.plans import PLAN_PLACE
from tenuto.app.wording import short_model
from tenuto.cli.amounts import shown_money, shown_short_time
from tenuto.cli.screen import Line, Span, cells, fitted, folded
from tenuto.cli.waiting import SIGNS, calls_by_step, doing
from tenuto.core.budget import NOTHING, Amount, add
from tenuto.core.ids import StepPath
from tenuto.core.report import step_result
from tenuto.core.state import ExecutionState, StepState

__all__ = ["STYLES", "place_of_step", "step_lines"]

CHILDREN_SHOWN = 30
OUTPUT_WIDTH = 100
"""Columns of an output where the screen has no width of its own."""
COLUMN_MIN = 8
NAMES = (0, 1, 2)
"""The columns of steps, agents and models."""
STYLES = {
    "completed": "good",
    "failed": "bad",
    "in doubt": "odd",
    "asks a person": "odd",
    "waits for budget": "odd",
    "running": "busy",
}
"""How the states of steps are shown; the rest is dim or plain."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table, and what stands below it."""

    indent: int
    sign: str
    word: str
    columns: tuple[str, ...]
    below: tuple[Line, ...] = ()


def step_lines(seen: SeenRun, width: int | None) -> Iterator[Line]:
    """The steps in plan order, at most `CHILDREN_SHOWN` below each."""
    rows = list(_Tree(seen, width).rows("", 0))
    used = [i for i in range(len(rows[0].columns)) if any(row.columns[i] for row in rows)] if rows else []
    word_width = max((cells(row.word) for row in rows), default=0)
    used, widths = _fit(rows, used, None if width is None else width - word_width)
    for row in rows:
        style = STYLES.get(row.word, "" if row.word in ("ready", "queued") else "dim")
        line = [Span(" " * row.indent), Span(f"{row.sign} ", style)]
        for place, (column, size) in enumerate(zip(used, widths, strict=True)):
            room = size - (row.indent + 2 if place == 0 else 0)
            text = fitted(row.columns[column], max(4, room))
            line.append(Span(text + " " * (room - cells(text)) + "  ", "dim" if place else ""))
            if place == 0:
                line.append(Span(f"{row.word:<{word_width}}  ", style))
        yield tuple(line)
        yield from row.below


def _fit(rows: list[_Row], used: list[int], width: int | None) -> tuple[list[int], list[int]]:
    """The columns there is room for, and how wide each is: names give way before numbers, models before names."""
    widths = {i: max(cells(_column(row, i)) for row in rows) for i in used}
    while width is not None and sum(widths.values()) + 2 * len(widths) > width:
        longest = max((i for i in widths if i in NAMES), key=widths.__getitem__)
        if widths[longest] > COLUMN_MIN:
            widths[longest] -= 1
        elif len(widths) > 1:
            del widths[next((i for i in (2, 1) if i in widths), max(widths))]
        else:
            break
    return list(widths), list(widths.values())


def _column(row: _Row, column: int) -> str:
    return " " * (row.indent + 2) + row.columns[column] if column == 0 else row.columns[column]


class _Tree:
    def __init__(self, seen: SeenRun, width: int | None) -> None:
        self._seen = seen
        self._state: ExecutionState = seen.shown.state
        self._width = width
        calls = calls_by_step(self._state)
        self._words: Mapping[StepPath, str] = {
            path: doing(step, calls, driven=seen.shown.owned) for path, step in self._state.steps.items()
        }
        self._children: dict[str, list[StepState]] = {}
        for step in sorted(self._state.steps.values(), key=lambda s: s.order):
            self._children.setdefault(_parent(step), []).append(step)
        models = {call.name for call in seen.timeline.calls.values() if call.kind == "model"}
        self._models = {c.path: c.name for c in seen.timeline.calls.values() if c.kind == "model"}
        self._tell_models = len(models) > 1
        self._own: dict[str, Amount] = {}
        for call in seen.timeline.calls.values():
            self._own[call.path] = add(self._own.get(call.path, NOTHING), call.spent)

    def rows(self, parent: str, indent: int) -> Iterator[_Row]:
        steps = self._children.get(parent, [])
        for step in steps[:CHILDREN_SHOWN]:
            yield self._row(step, parent, indent)
            yield from self.rows(step.path, indent + 2)
        if len(steps) > CHILDREN_SHOWN:
            rest = steps[CHILDREN_SHOWN:]
            done = sum(step.ended for step in rest)
            yield _Row(indent, "…", f"and {len(rest)} more, {done} of them ended", ("",) * 7)

    def _row(self, step: StepState, parent: str, indent: int) -> _Row:
        word = self._words[step.path]
        spent = self._spent(step)
        span = self._seen.timeline.steps.get(step.path)
        begun = self._begun_us(step)
        until = self._seen.now_us if span is None or span.ended_us is None else span.ended_us
        columns = (
            step.path.removeprefix(parent).removeprefix("/") if step.parent is not None else step.path,
            str(step_result(self._state, step).agent or ""),
            short_model(self._models.get(step.path, "")) if self._tell_models else "",
            "" if begun is None else shown_short_time((until - begun) // 1000),
            counted(spent.tokens, "token") if spent.tokens else "",
            shown_money(spent.usd_micros) if spent.usd_micros else "",
            counted(step.attempt, "attempt") if step.attempt > 1 else "",
        )
        return _Row(indent, SIGNS[word], word, columns, tuple(self._below(step, indent + 4)))

    def _begun_us(self, step: StepState) -> int | None:
        """When a step began; one that only holds others, with the first of them."""
        span = self._seen.timeline.steps.get(step.path)
        if span is not None and span.begun_us is not None:
            return span.begun_us
        below = [self._begun_us(child) for child in self._children.get(step.path, ())]
        return min((at for at in below if at is not None), default=None)

    def _spent(self, step: StepState) -> Amount:
        spent = self._own.get(step.path, NOTHING)
        for child in self._children.get(step.path, ()):
            spent = add(spent, self._spent(child))
        return spent

    def _below(self, step: StepState, indent: int) -> Iterator[Line]:
        if step.error is not None and step.status == "skipped":
            yield (Span(" " * indent + step.error.message, "dim"),)
        elif step.error is not None and step.status != "cancelled":
            for line in folded(f"{step.error.kind}: {step.error.message}", self._width, " " * indent):
                yield (Span(line, "bad"),)
            if step.path not in self._children:
                place = place_of_step(self._state, step.name)
                parts = [f"at {place}"] if place else []
                parts += [f"call {step.error.call}"] if step.error.call else []
                yield (Span(f"{' ' * indent}{', '.join(parts)}", "dim"),)
        elif step.output is not None and step.path not in self._children:
            most = OUTPUT_WIDTH if self._width is None else self._width - indent
            yield (Span(" " * indent + fitted(step.output.data[:2000].decode("utf-8", "ignore"), most), "dim"),)


def place_of_step(state: ExecutionState, name: str) -> str:
    """Where the work of a step was written, relative to the repository; empty where the plan is of no file."""
    spec = state.spec
    place = next((p for part in ("prompt", "run", "uses") if (p := spec.place(f"steps.{name}.{part}"))), "")
    place = place or spec.place(f"steps.{name}")
    return str(PurePath(spec.place(PLAN_PLACE)).parent / place) if place else ""


def _parent(step: StepState) -> str:
    if step.parent is not None:
        return step.parent
    return "" if step.asked_by is None else step.asked_by.rsplit("/", 2)[0]
