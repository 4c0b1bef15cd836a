"""A run as `show` paints it: header, tree of steps, outputs, budget, what it waits for, how to go on."""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.app.looking import SeenRun
from tenuto.app.nouns import counted
from tenuto.app.plans import PLAN_PLACE
from tenuto.cli.amounts import shown_short_time, shown_when
from tenuto.cli.bars import budget_lines
from tenuto.cli.closing import next_commands, questions
from tenuto.cli.screen import Line, Span, fitted, folded, plain
from tenuto.cli.step_tree import step_lines
from tenuto.core.canonical import canonical
from tenuto.core.report import executed_steps, grade, reused_steps

__all__ = ["RUN_STYLES", "field_lines", "picture"]

OUTPUTS_MAX = 2_000
RUN_STYLES = {"ok": "good", "failed": "bad", "running": "busy", "waiting": "odd", "exhausted": "odd"}
"""How the statuses of runs are shown; the rest is dim."""


def picture(seen: SeenRun, flag: str, width: int | None) -> Iterator[Line]:
    """The lines of `show RUN`."""
    shown = seen.shown
    state = shown.state
    yield (Span(state.run, "bold"), Span("   "), Span(shown.status, RUN_STYLES.get(shown.status, "dim")))
    for name, text in _header(seen):
        yield from field_lines(name, text, width)
    if state.why and not any(step.status == "failed" for step in state.steps.values()):
        yield from field_lines("why", state.why, width, "bad")
    yield ()
    yield from step_lines(seen, width)
    yield ()
    for text in budget_lines(state):
        yield from hanging(text, width, 15)
    if state.outputs is not None:
        yield ()
        yield plain("outputs", "dim")
        for name, value in state.outputs.value.items():
            text = value if isinstance(value, str) else canonical(value).decode()
            yield from field_lines(name, fitted(text, OUTPUTS_MAX), width)
    doubtful = sorted(c.position for c in state.calls.values() if c.status == "doubt")
    if doubtful:
        yield ()
        question = f"Did {', '.join(doubtful)} happen? Look outside, then say --done or --not-done."
        yield from (plain(line, "odd") for line in folded(question, width))
    asked = questions(state) if shown.status == "waiting" else []
    if asked:
        yield ()
        for text in asked:
            yield from (plain(line, "odd") for line in folded(text, width))
    if shown.owned:
        commands = [f"tenuto logs -f {state.run}{flag}"]
    elif shown.imported:
        commands = [f"tenuto replay {state.run}{flag}"]
    else:
        commands = [c for c in next_commands(state, flag) if c != f"tenuto show {state.run}{flag}"]
    if commands:
        yield ()
        yield plain("next", "dim")
        yield from (plain(f"  {command}") for command in commands)


def _header(seen: SeenRun) -> Iterator[tuple[str, str]]:
    state = seen.shown.state
    plan, lock = state.spec.plan, state.spec.lock
    about = f": {plan.description}" if plan.description else ""
    where = f" ({lock.places[PLAN_PLACE]})" if PLAN_PLACE in lock.places else ""
    yield "plan", f"{plan.name}{where}, {counted(len(plan.steps), 'step')}{about}"
    if state.parent is not None:
        executed, reused = len(executed_steps(state)), len(reused_steps(state))
        root = f", root {state.root}" if state.root != state.parent else ""
        yield "fork of", f"{state.parent}{root}: {counted(executed, 'step')} executed, {reused} reused"
    took = shown_short_time((seen.now_us - seen.timeline.started_us) // 1000)
    yield "started", f"{shown_when(seen.timeline.started_us)}, {'took' if state.ended else 'at work for'} {took}"
    models = sorted(profile.name for profile in lock.profiles.values())
    strict = ", strict" if lock.strict else ""
    yield "models", f"{', '.join(models) or '-'}; grade {grade(state)}{strict}; seed {state.seed[:12]}"
    yield from (("audited", line) for line in seen.audited)
    yield "sandbox", lock.sandbox or "not needed"
    result = f"; result {state.result[:16]}" if state.result else ""
    imported = "; imported, so only read here" if seen.shown.imported else ""
    yield "journal", f"{counted(state.seq + 1, 'record')}, head {state.head[:16]}{result}{imported}"


def field_lines(name: str, text: str, width: int | None, style: str = "") -> Iterator[Line]:
    """A named text, in a column of its own where it is long."""
    for number, line in enumerate(folded(text, width, " " * 13)):
        yield (Span(f"  {name:<9}  " if number == 0 else "", "dim"), Span(line[13:] if number == 0 else line, style))


def hanging(text: str, width: int | None, indent: int) -> Iterator[Line]:
    """A line whose continuations begin in that column."""
    for number, line in enumerate(folded(text[indent:], width, " " * indent)):
        yield plain(text[:indent] + line[indent:] if number == 0 else line)
